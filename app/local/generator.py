# pack: haystack, local
"""The local model as a component of a Haystack pipeline. Part of both packs: it is deleted with either."""

from typing import Any

from haystack import component
from haystack.dataclasses import ChatMessage, StreamingCallbackT, StreamingChunk, select_streaming_callback

from app.local.model import LocalModel, is_installed, local_model, to_request
from schemas.chat import Json


@component
class LocalChatGenerator:
    """A chat generator that asks the local model; the `generation_kwargs` of a run take precedence over its own.

    It is sync, so that a pipeline runs it in a thread. It stops when a callback raises, and raises the same.
    """

    def __init__(self, model: LocalModel, generation_kwargs: Json | None = None) -> None:
        self._model = model
        self._generation_kwargs = generation_kwargs or {}

    async def warm_up_async(self) -> None:
        """Load the model."""
        await self._model.start()

    @component.output_types(replies=list[ChatMessage])
    def run(
        self,
        messages: list[ChatMessage],
        streaming_callback: StreamingCallbackT | None = None,
        generation_kwargs: dict[str, Any] | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """Answer the messages."""
        callback = select_streaming_callback(None, streaming_callback, requires_async=False)
        chunks: list[StreamingChunk] = []

        def on_item(item: str | Json) -> bool:
            chunks.append(_chunk(item, is_first=not chunks))
            if callback is not None:
                callback(chunks[-1])
            return True

        conversation: list[Any] = [message.to_openai_dict_format(require_tool_call_ids=False) for message in messages]
        self._model.generate(to_request(conversation, self._generation_kwargs | (generation_kwargs or {})), on_item)
        meta = {name: value for chunk in chunks for name, value in chunk.meta.items()}
        text = "".join(chunk.content for chunk in chunks)
        return {"replies": [ChatMessage.from_assistant(text, meta={"model": "local", "index": 0, **meta})]}


def local_generator(path: str, **generation_kwargs: Any) -> LocalChatGenerator | None:
    """Return a generator with the local model of a path, if it is installed."""
    return LocalChatGenerator(local_model(path), generation_kwargs) if is_installed(path) else None


def _chunk(item: str | Json, *, is_first: bool) -> StreamingChunk:
    if isinstance(item, str):
        return StreamingChunk(item, index=0, start=is_first)
    if not item["choices"]:
        return StreamingChunk("", {"usage": item["usage"]})
    reason = item["choices"][0]["finish_reason"]
    return StreamingChunk("", {"finish_reason": reason}, finish_reason=reason)
