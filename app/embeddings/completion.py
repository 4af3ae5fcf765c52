"""Embeddings as a completion: its limits, its end when the client leaves, and its record are those of an answer."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from app.embeddings.service import EmbeddingService
from app.embeddings.vectors import encoded, read, tokens_of
from app.engine.chat import ChatRenderer
from app.engine.invoke import call_service
from app.engine.items import Item, ItemReader
from app.engine.results import CallbackStream, Sink
from app.errors import InvalidRequestError
from app.pipeline_service import NO_HEADERS
from app.services import Body, Messages
from app.settings import Settings
from schemas.chat import ChatCompletionRequest
from schemas.embeddings import EmbeddingList, EmbeddingRequest, EmbeddingUsage, Inputs

NO_MESSAGES = [{"role": "user", "content": ""}]


class EmbeddingCompletions:
    """The completion service that answers with embeddings; `body` is that of `completion_body`."""

    @staticmethod
    async def complete(
        model: str, messages: Messages, body: Body, headers: Mapping[str, str] = NO_HEADERS
    ) -> CallbackStream:
        """Call the embedding service, and check and encode what it returns."""
        service, request, sent = body["service"], body["request"], body["sent"]
        inputs = request.inputs
        result = await call_service(service.embed, model, inputs, sent, headers)
        embeddings = await read(result, len(inputs), model=model)
        as_base64, size = request.encoding_format == "base64", request.dimensions or None
        data = await encoded(embeddings.vectors, model=model, as_base64=as_base64, size=size)
        tokens = tokens_of(embeddings)
        usage = EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens)
        return CallbackStream(partial(_put, EmbeddingList(data=data, model=model, usage=usage)))


class EmbeddingRenderer(ChatRenderer):
    """Renderer of embeddings, which have no id and never stream."""

    def __init__(self, request: ChatCompletionRequest, reader: ItemReader) -> None:
        super().__init__(request, reader)
        self.answer.id = ""

    async def whole(self, items: Sequence[Item]) -> Any:
        """Return the embeddings, and note their usage if it is known."""
        (embeddings,) = items
        if isinstance(embeddings, EmbeddingList) and (tokens := embeddings.usage.prompt_tokens):
            self.answer.add_usage({"prompt_tokens": tokens})
        return embeddings


def completion_body(request: EmbeddingRequest, sent: Body, service: EmbeddingService) -> Body:
    """Return the body of the completion that makes the embeddings; it has no messages."""
    return {"model": request.model, "messages": NO_MESSAGES, "service": service, "request": request, "sent": sent}


def check_inputs(inputs: Inputs, settings: Settings) -> None:
    """Check how many inputs there are, and how long each is.

    Raises:
        InvalidRequestError: There are too many, or one is too long.
    """
    if 0 < settings.max_embedding_inputs < len(inputs):
        message = f"There are {len(inputs)} inputs: at most {settings.max_embedding_inputs} are taken."
        raise InvalidRequestError(message, param="input")
    longest = settings.max_embedding_length
    for position, each in enumerate(inputs if longest else ()):
        if len(each) > longest:
            unit = "characters" if isinstance(each, str) else "tokens"
            message = f"The input at {position} has {len(each)} {unit}: at most {longest} are taken."
            raise InvalidRequestError(message, param=f"input[{position}]" if len(inputs) > 1 else "input")


async def _put(embeddings: EmbeddingList, sink: Sink) -> None:
    sink.put_anyway(embeddings)
