"""The service that makes embeddings, by default from the embedders of the registry."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from app.embeddings.batches import Batches
from app.embeddings.vectors import read
from app.engine.invoke import call, parameters_of
from app.errors import InvalidRequestError
from app.pipeline_service import NO_HEADERS, PipelineService
from app.registry import RegisteredModel
from app.services import Body
from schemas.chat import Json
from schemas.embeddings import Embeddings, Inputs

__all__ = ["Embedder", "EmbeddingService", "PipelineEmbeddings"]

KIND = "embeddings"


@runtime_checkable
class EmbeddingService(Protocol):
    """A service that makes embeddings; `embed` may be sync or async."""

    def embed(self, model: str, inputs: Inputs, body: Body) -> Any:
        """Return a vector for each input. A parameter named `headers` receives the headers of the request too.

        Args:
            model: The model asked for; the model service has listed it.
            inputs: The texts; or lists of tokens, if the client sent these.
            body: The whole request, as the client sent it.

        Returns:
            A list of vectors, a two-dimensional array, an iterator of vectors, or `Embeddings`.
        """
        ...


class PipelineEmbeddings:
    """The embedding service of a registry, for one application.

    Args:
        pipelines: The service that has the models of the registry.
    """

    def __init__(self, pipelines: PipelineService) -> None:
        self._pipelines = pipelines
        self._embedders: dict[str, Embedder] = {}

    async def embed(self, model: str, inputs: Inputs, body: Body, headers: Mapping[str, str] = NO_HEADERS) -> Any:
        """Call the function of the embedder, after making it if this is the first request for it.

        Raises:
            CompletionError: The model is not served, no embedder, or does not take such a request.
        """
        registered = self._pipelines.find(model, KIND)
        function = await self._pipelines.function_of(registered)
        embedder = self._embedders.get(model)
        if embedder is None:
            embedder = self._embedders[model] = Embedder(function, registered)
        return await embedder.embed(inputs, body, headers)

    async def close(self) -> None:
        """Stop the calls that serve several requests."""
        embedders, self._embedders = self._embedders, {}
        for embedder in embedders.values():
            await embedder.close()


class Embedder:
    """An embedder of the registry.

    Args:
        function: Takes the inputs, and any of `dimensions`, `body` (the other fields of the request) and `headers`.
        registered: Its options.
    """

    def __init__(self, function: Callable[..., Any], registered: RegisteredModel) -> None:
        self._function = function
        self._names = parameters_of(function)[1:]
        self._registered = registered
        size = registered.batch
        self._batches = Batches(self._call, size, registered.wait) if size else None

    async def embed(self, inputs: Inputs, body: Body, headers: Mapping[str, str]) -> Embeddings:
        """Return the embeddings of a request."""
        arguments = self._arguments(inputs, body, headers)
        if self._batches is None:
            return await self._call(inputs, arguments)
        return await self._batches.embed(inputs, arguments)

    async def close(self) -> None:
        """Stop the call that serves several requests."""
        if self._batches is not None:
            await self._batches.close()

    async def _call(self, inputs: Inputs, arguments: Json) -> Embeddings:
        result = await call(self._function, inputs, **arguments)
        return await read(result, len(inputs), model=self._registered.name)

    def _arguments(self, inputs: Inputs, body: Body, headers: Mapping[str, str]) -> Json:
        """Return what the function gets beside the inputs; raise an error if it does not take such a request."""
        name, dimensions = self._registered.name, body.get("dimensions")
        if not isinstance(inputs[0], str) and not self._registered.takes_tokens:
            hint = "send strings (with LangChain by check_embedding_ctx_length=False)"
            message = f"The model '{name}' takes texts, not tokens: {hint}."
            raise InvalidRequestError(message, param="input")
        if dimensions is not None and "dimensions" not in self._names:
            message = f"The vectors of the model '{name}' have one length: leave 'dimensions' out."
            raise InvalidRequestError(message, param="dimensions")
        known: Json = {"dimensions": dimensions, "headers": dict(headers) if "headers" in self._names else {}}
        known["body"] = {field: value for field, value in body.items() if field != "input"}
        return {field: value for field, value in known.items() if field in self._names}
