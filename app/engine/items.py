"""The table of items: what a service may yield or return whole, and the parts that each is read as.

Classes of Haystack and of the `openai` package are recognized by their attributes, so that neither need be installed.
"""

import inspect
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import fields, replace

from app.engine.frames import plain
from app.engine.parts import ChoiceDelta, ChunkFields, Part, TokenUsage, text_of
from app.errors import CompletionError
from schemas.chat import ChatCompletion, ChatCompletionChunk, ChunkChoice, Delta, Json, Usage

Item: TypeAlias = object  # a service may yield anything

CHAT_MESSAGE = ("text", "tool_calls", "meta")  # haystack.dataclasses.ChatMessage
STREAMING_CHUNK = ("content", "tool_calls", "finish_reason", "meta")  # haystack.dataclasses.StreamingChunk
MESSAGE_FIELDS = ("reasoning_content", "reasoning", "content", "refusal", "tool_calls")  # in the order of a stream
PYDANTIC = ("choices", "model_dump")  # openai.types.chat


class ItemReader:
    """Reads the items of a completion.

    Args:
        chunk_mapper: Returns the text of an item of an unknown type, by default of its `content` or of itself.
        reasoning_fields: The fields of a message in which reasoning is sent.
    """

    def __init__(self, chunk_mapper: Callable[[Any], Any] | None, reasoning_fields: tuple[str, ...]) -> None:
        self.is_async = chunk_mapper is not None and any(
            map(inspect.iscoroutinefunction, (chunk_mapper, type(chunk_mapper).__call__))
        )
        self._text = chunk_mapper or _content_of
        self._reasoning_fields = reasoning_fields

    def read(self, item: Item) -> Iterable[Part]:  # noqa: C901 - a row for each kind of item
        """Return the parts of an item.

        Raises:
            CompletionError: The item is an error.
            TypeError: It belongs to the Responses API, or cannot be an item, like a coroutine.
        """
        match item:
            case str():
                return (str.__str__(item),)  # plain, even if it is of a subclass
            case ChoiceDelta() | ChunkFields() | TokenUsage():  # they were read before
                return (item,)
            case Delta():
                return (self._delta(item),)
            case ChatCompletionChunk():
                return self._chunk(item)
            case _ if _is_streaming_chunk(type(item)):  # type: ignore[arg-type]  # a class is hashable
                return self._streaming_chunk(item)
            case Usage():
                return (TokenUsage(msgspec.to_builtins(item, enc_hook=plain)),)
            case ChatCompletion():
                return self._completion(item)
            case _ if is_response(item) or is_response_event(item):
                raise TypeError("A service answered a chat with a response: it must ask `responses_request()` first.")
            case dict() if is_completion(item):
                return _completion_parts(item)
            case {"error": error} if error:
                raise upstream_error(error)
            case dict() if "choices" in item or "usage" in item or item.get("object") == "chat.completion.chunk":
                return _chunk_parts(item)
            case _ if hasattr(item, "to_event_dict"):
                return (ChunkFields({"event": item.to_event_dict()}),)
            case _ if _has(item, PYDANTIC):
                return self.read(item.model_dump(exclude_unset=True))  # type: ignore[attr-defined]  # _has checked it
            case _ if _has(item, CHAT_MESSAGE):
                return _completion_parts(self._chat_message(item))
            case _ if _has(item, STREAMING_CHUNK):
                return self._streaming_chunk(item)
        return (self._mapped(item),)

    async def resolve(self, item: Item, choice: int | None) -> list[Item]:
        """Return the parts of an item, as items that can be read in its place: awaits an async chunk mapper.

        Args:
            item: The item.
            choice: The index of the choice to which all belong, if the model was asked once for each.
        """
        if is_response(item) or is_response_event(item):
            return [item]
        parts = [text_of(await part) if inspect.isawaitable(part) else part for part in self.read(item)]
        if choice is None:
            return [*parts]
        return [sent for part in parts if (sent := _of_choice(part, choice)) is not None]

    def _mapped(self, item: Item) -> Part:
        try:
            text = self._text(item)
        except Exception:
            raise
        except BaseException as error:  # as SystemExit, which would end more than this completion
            raise RuntimeError(f"The chunk mapper raised {error!r}.") from error
        return text if self.is_async else text_of(text)  # an awaitable goes to `resolve`

    def _delta(self, delta: Delta) -> Part:
        if type(delta) is Delta and delta.content and _rest_of_delta(delta) == _NO_REST_OF_DELTA:
            return str.__str__(delta.content)
        return ChoiceDelta(delta=self._renamed(msgspec.to_builtins(delta, enc_hook=plain)))

    def _chunk(self, chunk: ChatCompletionChunk) -> Iterable[Part]:
        if (
            type(chunk) is ChatCompletionChunk
            and len(chunk.choices) == 1
            and _rest_of_chunk(chunk) == _NO_REST_OF_CHUNK
        ):
            choice = chunk.choices[0]
            if type(choice) is ChunkChoice and _rest_of_choice(choice) == _NO_REST_OF_CHOICE:  # 1 µs instead of 4
                return (self._delta(choice.delta),)
        value: Json = msgspec.to_builtins(chunk, enc_hook=plain)
        for choice_value in value["choices"]:
            self._renamed(choice_value["delta"])
        return _chunk_parts(value)

    def _completion(self, completion: ChatCompletion) -> Iterator[Part]:
        value: Json = msgspec.to_builtins(completion, enc_hook=plain)
        for choice in value["choices"]:
            self._renamed(choice["message"])
        return _completion_parts(value)

    def _streaming_chunk(self, chunk: Any) -> Iterator[Part]:
        if reasoning := _reasoning_text(chunk):
            yield ChoiceDelta(delta=self._reasoning(reasoning))
        if chunk.content:
            yield text_of(chunk.content)
        if chunk.tool_calls:
            yield ChoiceDelta(delta={"tool_calls": [_tool_call(call, index=call.index) for call in chunk.tool_calls]})
        meta = chunk.meta or {}
        if refusal := meta.get("refusal"):
            yield ChoiceDelta(delta={"refusal": str(refusal)})
        if finish_reason := chunk.finish_reason or meta.get("finish_reason"):
            yield ChoiceDelta(finish_reason=finish_reason)
        if usage := meta.get("usage"):
            yield TokenUsage(usage)

    def _chat_message(self, message: Any) -> Json:
        meta = message.meta or {}
        answer: Json = {"role": "assistant", "content": message.text, "refusal": meta.get("refusal")}
        if reasoning := _reasoning_text(message):
            answer |= self._reasoning(reasoning)
        if message.tool_calls:
            answer["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
        choice = {"index": 0, "message": answer, "finish_reason": meta.get("finish_reason")}
        return {"choices": [choice], "usage": meta.get("usage")}

    def _renamed(self, message: Json) -> Json:
        if (reasoning := message.pop("reasoning_content", None)) is not None:
            message |= self._reasoning(reasoning)
        return message

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


def arguments_text(arguments: Any) -> str:
    """Return the arguments of a tool call as JSON text, as OpenAI sends them; some services give an object."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else msgspec.json.encode(arguments).decode()


def set_fields(source: Mapping[str, Any], left_out: Container[str] = ()) -> Json:
    """Return the fields of an object that are not null, without some of these names."""
    return {name: value for name, value in source.items() if value is not None and name not in left_out}


def upstream_error(error: Any) -> CompletionError:
    """Return the error that an upstream has sent, e.g. in a frame `{"error": …}`."""
    if not isinstance(error, Mapping):
        return CompletionError(str(error))
    kind, code, param = (str(error[name]) if error.get(name) else None for name in ("type", "code", "param"))
    return CompletionError(str(error.get("message") or "The model failed."), type=kind, code=code, param=param)


def _chunk_parts(chunk: Json) -> Iterator[Part]:
    fields = set_fields(chunk, ("choices", "usage", "object"))
    choices = chunk.get("choices") or ()
    for choice in choices:
        extra = set_fields(choice, ("index", "delta", "finish_reason"))
        yield ChoiceDelta(
            choice.get("index") or 0, choice.get("delta") or {}, choice.get("finish_reason"), extra, fields
        )
    if usage := chunk.get("usage"):
        yield TokenUsage(usage)
    if fields and not choices:
        yield ChunkFields(fields)


def _completion_parts(completion: Json) -> Iterator[Part]:
    fields = set_fields(completion, ("choices", "object", "usage"))
    for position, choice in enumerate(completion["choices"]):
        index = position if choice.get("index") is None else choice["index"]
        for delta in _deltas(choice["message"]):
            yield ChoiceDelta(index, delta, chunk=fields)
        extra = set_fields(choice, ("index", "message", "finish_reason"))
        yield ChoiceDelta(index, {}, choice.get("finish_reason"), extra, fields)
    if usage := completion.get("usage"):
        yield TokenUsage(usage)


def _deltas(message: Json) -> Iterator[Json]:
    for name in MESSAGE_FIELDS:
        if (value := message.get(name)) and name == "tool_calls":
            yield {name: [{**call, "index": object()} for call in value]}  # each is a new call, whatever its index
        elif value:
            yield {name: value}
    if extra := set_fields(message, (*MESSAGE_FIELDS, "role")):
        yield extra


def _content_of(item: Any) -> Any:
    return getattr(item, "content", item)


def _of_choice(part: Part, index: int) -> Part | None:
    match part:
        case str():
            return ChoiceDelta(index, {"content": part})
        case ChoiceDelta():
            return replace(part, index=index) if part.index == 0 else None
        case TokenUsage():
            return replace(part, index=index)
    return part


def _tool_call(call: Any, **index: int) -> Json:
    function = {"name": call.tool_name, "arguments": arguments_text(call.arguments)}
    return {**index, "id": call.id, "type": "function", "function": function}


def _reasoning_text(item: Any) -> str:
    reasoning = getattr(item, "reasoning", None)
    return str(getattr(reasoning, "reasoning_text", reasoning) or "")


def _string_of(value: object, field: str) -> str:
    found = value.get(field) if isinstance(value, dict) else getattr(value, field, None)
    return found if isinstance(found, str) else ""


@lru_cache(maxsize=64)
def _is_streaming_chunk(kind: Hashable) -> bool:
    """Return whether a class is a dataclass as `StreamingChunk` is: asking its instances takes 2 µs each."""
    return {*STREAMING_CHUNK} <= getattr(kind, "__dataclass_fields__", {}).keys()


def _has(value: object, names: tuple[str, ...]) -> bool:
    return all(hasattr(value, name) for name in names)


def _rest_of(struct: type[Struct], *names: str) -> tuple[Callable[[Any], Any], Any]:
    """Return a function that gives the values of a Struct's other fields, and what it gives for the defaults."""
    rest = [each for each in fields(struct) if each.name not in names]
    return attrgetter(*(each.name for each in rest)), tuple(each.default for each in rest)


_rest_of_delta, _NO_REST_OF_DELTA = _rest_of(Delta, "role", "content")
_rest_of_choice, _NO_REST_OF_CHOICE = _rest_of(ChunkChoice, "delta")
_rest_of_chunk, _NO_REST_OF_CHUNK = _rest_of(ChatCompletionChunk, "choices")
