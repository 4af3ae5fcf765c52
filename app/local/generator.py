"""The local model as a component of a Haystack pipeline."""

from typing import Any

from haystack import component
from haystack.dataclasses import (
    ChatMessage,
    ComponentInfo,
    StreamingCallbackT,
    StreamingChunk,
    select_streaming_callback,
)

from app.local.model import LocalModel, to_request
from schemas.chat import Json

__all__ = ["LocalChatGenerator"]


@component
class LocalChatGenerator:
    """A chat generator that asks a local model.

    It is sync, as the model is: `Pipeline.run_async` runs it in a thread, and calls back from there. A callback
    that raises stops it, and `run` raises the same.

    Args:
        model: the one that answers; it may serve others as well.
        name: what replies call it.
        generation_kwargs: OpenAI's parameters, where a run gives no others.
    """

    def __init__(self, model: LocalModel, name: str = "local", generation_kwargs: dict[str, Any] | None = None) -> None:
        self._model = model
        self._name = name
        self._generation_kwargs = generation_kwargs or {}

    async def warm_up_async(self) -> None:
        """Load the model; a pipeline awaits this in its own `warm_up_async`."""
        await self._model.start()

    @component.output_types(replies=list[ChatMessage])
    def run(
        self,
        messages: list[ChatMessage],
        streaming_callback: StreamingCallbackT | None = None,
        generation_kwargs: dict[str, Any] | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """Answer the messages, and tell the callback of each chunk."""
        callback = select_streaming_callback(None, streaming_callback, requires_async=False)
        info = ComponentInfo.from_component(self)
        texts: list[str] = []
        meta: dict[str, Any] = {"model": self._name, "index": 0}

        def on_item(item: str | Json) -> bool:
            chunk = _chunk(item, self._name, info, is_first=not texts)
            texts.extend([chunk.content] if chunk.content else ())
            meta.update({name: value for name, value in chunk.meta.items() if name in ("finish_reason", "usage")})
            if callback is not None:
                callback(chunk)
            return True

        conversation: list[Any] = [message.to_openai_dict_format(require_tool_call_ids=False) for message in messages]
        self._model.generate(to_request(conversation, self._generation_kwargs | (generation_kwargs or {})), on_item)
        return {"replies": [ChatMessage.from_assistant("".join(texts), meta=meta)]}


def _chunk(item: str | Json, model: str, info: ComponentInfo, *, is_first: bool) -> StreamingChunk:
    """An item as `OpenAIChatGenerator` would stream it."""
    meta: dict[str, Any] = {"model": model}
    if isinstance(item, str):
        return StreamingChunk(item, meta, info, index=0, start=is_first)
    if not item["choices"]:
        return StreamingChunk("", meta | {"usage": item["usage"]}, info)
    reason = item["choices"][0]["finish_reason"]
    return StreamingChunk("", meta | {"finish_reason": reason}, info, finish_reason=reason)
