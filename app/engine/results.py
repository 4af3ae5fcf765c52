"""What a completion service may return and yield, and how it is read.

`put_items` puts the items of any result into a buffer; `ItemReader` turns each item into text or into dicts in the
shape of a chunk or a completion. Classes of Haystack and of the `openai` package are recognized by their attributes, so
that neither need be installed.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from app.engine.buffer import Buffer
from app.engine.run import run_sync
from app.errors import OverloadedError
from schemas.chat import ChatCompletion, ChatCompletionChunk, Delta, Json, Usage

__all__ = ["CallbackStream", "Item"]

Item: TypeAlias = object  # an iterator may yield anything; see ItemReader.read

CHAT_MESSAGE = ("text", "tool_calls", "meta")  # haystack.dataclasses.ChatMessage
STREAMING_CHUNK = ("content", "tool_calls", "finish_reason", "meta")  # haystack.dataclasses.StreamingChunk
PYDANTIC = ("choices", "model_dump")  # openai.types.chat


class CallbackStream(Struct, frozen=True):
    """A result that passes its items to a callback instead of being iterated.

    Args:
        run: Awaited with the buffer into which it puts the items: by `await buffer.send(item)` on the event loop, or by
            `buffer.put_from_thread(item)` in a thread, which returns False when the completion has been stopped. Both
            wait while the client is slower. It is cancelled when the client leaves.
    """

    run: Callable[[Buffer[Item]], Awaitable[None]]


async def put_items(result: object, buffer: Buffer[Item]) -> None:
    """Put all items of a result into the buffer.

    Raises:
        TypeError: A service must not return such a result.
    """
    match result:
        case str():
            buffer.put(result)
        case CallbackStream():
            await result.run(buffer)
        case AsyncIterator():
            await _put_async(result, buffer)
        case Iterator():
            await _put_in_thread(result, buffer)
        case _ if is_completion(result) or is_response(result):
            buffer.put(result)
        case _:
            raise TypeError(
                f"A completion service returned {type(result).__qualname__}. Return a str, a ChatCompletion "
                "(or a dict of that shape), a Haystack ChatMessage, a sync or async iterator, or a CallbackStream."
            )


async def discard(result: object) -> None:
    """Close a result that is not used, if it can be closed."""
    closing = _close_method(result)()
    if inspect.isawaitable(closing):
        await closing


async def _put_async(iterator: AsyncIterator[Item], buffer: Buffer[Item]) -> None:
    try:
        async for item in iterator:
            if not buffer.put(item):
                await buffer.send(item)
    finally:
        await discard(iterator)


async def _put_in_thread(iterator: Iterator[Item], buffer: Buffer[Item]) -> None:
    try:
        await run_sync(_put_sync, iterator, buffer)
    except OverloadedError:  # the iterator has not reached a thread
        await discard(iterator)
        raise


def _put_sync(iterator: Iterator[Item], buffer: Buffer[Item]) -> None:
    try:
        for item in iterator:
            if not buffer.put_from_thread(item):
                break
    finally:
        _close_method(iterator)()


def _close_method(iterator: object) -> Callable[[], Any]:
    for name in ("aclose", "close"):
        if callable(method := getattr(iterator, name, None)):
            return method  # type: ignore[no-any-return]  # of an object that may be anything
    return lambda: None


class ItemReader:
    """Reads the items of a completion.

    Args:
        chunk_mapper: Returns the text of an item of an unknown type.
        reasoning_fields: The fields of a message in which reasoning is sent.
    """

    def __init__(self, chunk_mapper: Callable[[Any], str], reasoning_fields: tuple[str, ...]) -> None:
        self._text = chunk_mapper
        self._reasoning_fields = reasoning_fields

    def read(self, item: Item) -> Iterator[str | Json]:
        """Yield the item as text, and as dicts in the shape of a chunk or of a whole completion."""
        match item:
            case str():
                yield item
            case Delta():
                yield _chunk(self._rename_reasoning(msgspec.to_builtins(item)))
            case Usage():
                yield {"choices": [], "usage": msgspec.to_builtins(item)}
            case ChatCompletion() | ChatCompletionChunk():
                yield self._struct(item)
            case dict() if isinstance(item.get("choices"), list):
                yield item
            case _ if hasattr(item, "to_event_dict"):
                yield {"choices": [], "event": item.to_event_dict()}
            case _ if _has(item, PYDANTIC):
                yield item.model_dump(exclude_unset=True)  # type: ignore[attr-defined]  # _has checked it
            case _ if _has(item, CHAT_MESSAGE):
                yield self._chat_message(item)
            case _ if _has(item, STREAMING_CHUNK):
                yield from self._streaming_chunk(item)
            case _:
                yield self._mapped(item)

    def _mapped(self, item: Item) -> str:
        if is_response(item) or is_response_event(item):
            raise TypeError("A service answered a chat with a response: it must ask `responses_request()` first.")
        return self._text(item)

    def _struct(self, item: ChatCompletion | ChatCompletionChunk) -> Json:
        value: Json = msgspec.to_builtins(item)
        for choice in value["choices"]:
            self._rename_reasoning(choice["message" if "message" in choice else "delta"])
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
        return {"choices": [choice], **({"usage": meta["usage"]} if meta.get("usage") else {})}

    def _rename_reasoning(self, part: Json) -> Json:
        if (reasoning := part.pop("reasoning_content", None)) is not None:
            part |= self._reasoning(reasoning)
        return part

    def _reasoning(self, text: str) -> Json:
        return dict.fromkeys(self._reasoning_fields, text)


def is_completion(value: object) -> bool:
    """Return whether a value is a whole completion, and neither text nor a part of one."""
    match value:
        case str():
            return False
        case ChatCompletion() | {"object": "chat.completion"} | {"choices": [{"message": _}, *_]}:
            return True
        case _:
            is_openai_completion = getattr(value, "object", None) == "chat.completion" and _has(value, PYDANTIC)
            return is_openai_completion or _has(value, CHAT_MESSAGE)


def is_response(value: object) -> bool:
    """Return whether a value is a whole response of the Responses API."""
    return _string_of(value, "object") == "response"


def is_response_event(value: object) -> bool:
    """Return whether a value is an event of the Responses API."""
    name = _string_of(value, "type")
    return name.startswith("response.") or (name == "error" and _string_of(value, "message") != "")


def text_of(item: Item) -> str:
    """Return an item's `content`, or else the item as text: the default chunk mapper."""
    content = getattr(item, "content", item)
    return "" if content is None else str(content)


def arguments_text(arguments: Any) -> str:
    """Return the arguments of a tool call as JSON text, as OpenAI sends them; some services give an object."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else msgspec.json.encode(arguments).decode()


def _chunk(delta: Json) -> Json:
    return {"choices": [{"delta": delta}]}


def _tool_call(call: Any, **index: int) -> Json:
    function = {"name": call.tool_name, "arguments": arguments_text(call.arguments)}
    return {**index, "id": call.id, "type": "function", "function": function}


def _reasoning_text(item: Any) -> str:
    reasoning = getattr(item, "reasoning", None)
    return str(getattr(reasoning, "reasoning_text", reasoning) or "")


def _string_of(value: object, field: str) -> str:
    found = value.get(field) if isinstance(value, dict) else getattr(value, field, None)
    return found if isinstance(found, str) else ""


def _has(value: object, names: tuple[str, ...]) -> bool:
    return all(hasattr(value, name) for name in names)
