"""What a service returns and yields, in OpenAI's shape.

Haystack's classes, and the `openai` package's, are known by their attributes: neither need be installed.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import msgspec

from app.engine.tool_calls import arguments_text
from schemas.chat import ChatCompletion, ChatCompletionChunk, Delta, Usage

__all__ = ["Item", "Json", "Reader", "is_completion", "is_event", "is_response", "text_of"]

Item: TypeAlias = object  # what a user's iterator yields is the user's choice
Json: TypeAlias = dict[str, Any]

CHAT_MESSAGE = ("text", "tool_calls", "meta")  # haystack.dataclasses.ChatMessage
STREAMING_CHUNK = ("content", "tool_calls", "finish_reason", "meta")  # haystack.dataclasses.StreamingChunk
PYDANTIC = ("choices", "model_dump")  # openai.types.chat


class Reader:
    """Reads items.

    Args:
        chunk_mapper: the text of an item of no known kind.
        reasoning_fields: the fields that reasoning goes out in.
    """

    def __init__(self, chunk_mapper: Callable[[Any], str], reasoning_fields: tuple[str, ...]) -> None:
        self._text = chunk_mapper
        self._reasoning_fields = reasoning_fields

    def read(self, item: Item) -> Iterator[str | Json]:
        """An item as text, and as dicts in the shape of a chunk or of a whole completion."""
        match item:
            case str():
                yield item
            case Delta():
                yield _chunk(self._renamed(msgspec.to_builtins(item)))
            case Usage():
                yield {"choices": [], "usage": msgspec.to_builtins(item)}
            case ChatCompletion() | ChatCompletionChunk():
                yield self._struct(item)
            case dict() if isinstance(item.get("choices"), list):
                yield item
            case _ if hasattr(item, "to_event_dict"):
                yield {"choices": [], "event": item.to_event_dict()}
            case _ if _has(item, PYDANTIC):
                yield item.model_dump(exclude_unset=True)  # type: ignore[attr-defined]  # just seen
            case _ if _has(item, CHAT_MESSAGE):
                yield self._chat_message(item)
            case _ if _has(item, STREAMING_CHUNK):
                yield from self._streaming_chunk(item)
            case _:
                yield self._mapped(item)

    def _mapped(self, item: Item) -> str:
        if is_response(item) or is_event(item):
            raise TypeError("A service answered a chat with a response: it must ask `responses_request()` first.")
        return self._text(item)

    def _struct(self, item: ChatCompletion | ChatCompletionChunk) -> Json:
        value: Json = msgspec.to_builtins(item)
        for choice in value["choices"]:
            for part in ("message", "delta"):
                if part in choice:
                    choice[part] = self._renamed(choice[part])
        return value

    def _streaming_chunk(self, chunk: Any) -> Iterator[str | Json]:
        if reasoning := _reasoning_text(chunk):
            yield _chunk(self._reasoning(reasoning))
        if chunk.content:
            yield str(chunk.content)
        if chunk.tool_calls:
            yield _chunk({"tool_calls": [_tool_call(call, index=call.index) for call in chunk.tool_calls]})
        meta = chunk.meta or {}
        if finish_reason := chunk.finish_reason or meta.get("finish_reason"):
            yield {"choices": [{"delta": {}, "finish_reason": finish_reason}]}
        if usage := meta.get("usage"):
            yield {"choices": [], "usage": usage}

    def _chat_message(self, message: Any) -> Json:
        meta = message.meta or {}
        answer: Json = {"role": "assistant", "content": message.text, "refusal": None}
        if reasoning := _reasoning_text(message):
            answer |= self._reasoning(reasoning)
        if message.tool_calls:
            answer["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
        choice = {"index": 0, "message": answer, "finish_reason": meta.get("finish_reason"), "logprobs": None}
        usage = {"usage": meta["usage"]} if meta.get("usage") else {}
        return {"choices": [choice], **usage}

    def _renamed(self, part: Json) -> Json:
        reasoning = part.pop("reasoning_content", None)
        return part if reasoning is None else part | self._reasoning(reasoning)

    def _reasoning(self, text: str) -> Json:
        return dict.fromkeys(self._reasoning_fields, text)


def is_completion(value: object) -> bool:
    """Whether a value is a whole completion, and not text or a part of one."""
    match value:
        case str():
            return False
        case ChatCompletion() | {"object": "chat.completion"} | {"choices": [{"message": _}, *_]}:
            return True
        case _:
            whole_of_openai = getattr(value, "object", None) == "chat.completion" and _has(value, PYDANTIC)
            return whole_of_openai or _has(value, CHAT_MESSAGE)


def is_response(value: object) -> bool:
    """Whether a value is a whole response, as the Responses API has it."""
    return _name_of(value, "object") == "response"


def is_event(value: object) -> bool:
    """Whether a value is an event of the Responses API."""
    name = _name_of(value, "type")
    return name.startswith("response.") or (name == "error" and _name_of(value, "message") != "")


def _name_of(value: object, field: str) -> str:
    name = value.get(field) if isinstance(value, dict) else getattr(value, field, None)
    return name if isinstance(name, str) else ""


def text_of(item: Item) -> str:
    """The default chunk mapper: an item's `content`, else the item as text."""
    content = getattr(item, "content", item)
    return "" if content is None else str(content)


def _chunk(delta: Json) -> Json:
    return {"choices": [{"delta": delta}]}


def _tool_call(call: Any, **index: int) -> Json:
    function = {"name": call.tool_name, "arguments": arguments_text(call.arguments)}
    return {**index, "id": call.id, "type": "function", "function": function}


def _reasoning_text(item: Any) -> str:
    reasoning = getattr(item, "reasoning", None)
    return str(getattr(reasoning, "reasoning_text", reasoning) or "")


def _has(value: object, names: tuple[str, ...]) -> bool:
    return all(hasattr(value, name) for name in names)
