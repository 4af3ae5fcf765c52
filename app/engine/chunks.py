"""The rules of a stream: what is sent once, what is held back until the end, what is filled in."""

from collections.abc import Container, Iterator, Sequence
from secrets import token_hex
from time import time
from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from app.engine.results import Item, ItemReader, arguments_text, is_completion
from schemas.chat import ChatCompletionChunk, ChunkChoice, Delta, Json

Chunk: TypeAlias = str | Json  # a str stands for the chunk with that content, see Chunks.text

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
MAX_CHOICES = 128  # OpenAI's limit for `n`
HEAD_KEYS = frozenset({"id", "object", "created", "model"})
PARTS_OF_A_MESSAGE = ("reasoning_content", "reasoning", "content", "refusal", "tool_calls")


class Head(Struct):
    """The fields that all chunks of a response share."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{token_hex(16)}")
    created: int = field(default_factory=lambda: int(time()))

    def adopt(self, source: Json) -> None:
        """Take over the values that a service's own chunk or completion has."""
        self.id = source.get("id") or self.id
        self.created = source.get("created") or self.created
        self.model = source.get("model") or self.model

    def fields(self, kind: str, extra: Json) -> Json:
        """Return the first fields of an object that is sent."""
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        if not extra:
            return head
        return head | {name: value for name, value in extra.items() if value or name not in HEAD_KEYS}


class Chunks:
    """Turns the items of one response into its chunks.

    Args:
        head: The fields that the chunks share.
        reader: Reads the items.
        include_usage: Whether the client asked for a chunk with the usage.
    """

    def __init__(self, head: Head, reader: ItemReader, *, include_usage: bool) -> None:
        self.head = head
        self.usage: Json | None = None
        self.finish_reasons: list[str] = []
        self._reader = reader
        self._no_usage: UnsetType | None = None if include_usage else UNSET
        self._choices: dict[int, _Choice] = {}

    def read(self, items: Sequence[Item]) -> Iterator[Chunk]:
        """Yield the chunks of some items that follow those read before."""
        for item in items:
            for part in (item,) if type(item) is str else self._reader.read(item):
                if isinstance(part, str):
                    if not self._choices:
                        yield from self._open(0)
                    if part:
                        yield part
                elif is_completion(part):
                    yield from self._read_completion(part)
                else:
                    yield from self._read_chunk(part)

    def text(self, content: str) -> ChatCompletionChunk:
        """Return the chunk for which a text stands."""
        return ChatCompletionChunk(
            id=self.head.id,
            created=self.head.created,
            model=self.head.model,
            choices=[ChunkChoice(delta=Delta(content=content))],
            usage=self._no_usage,
        )

    def finish(self) -> Iterator[Chunk]:
        """Yield the chunks that end the response."""
        yield from self._open(0)
        for index, choice in self._choices.items():
            reason = finish_reason(choice.finish_reason, called_tools=choice.calls.count > 0)
            self.finish_reasons.append(reason)
            last = {**choice.extra, "index": index, "delta": {}, "finish_reason": reason}
            yield self._build([last], choice.chunk_extra)
        if self._no_usage is None and self.usage:
            yield {**self._build([], {}), "usage": self.usage}

    def _read_chunk(self, chunk: Json) -> Iterator[Chunk]:
        if not self._choices:
            self.head.adopt(chunk)
        self.usage = chunk.get("usage") or self.usage
        extra = without(chunk, ("choices", "usage"))
        kept: list[Json] = []
        for source in chunk["choices"]:
            index = source.get("index") or 0
            yield from self._open(index)
            kept.extend(self._choices[index].keep(index, source, extra))
        if kept or (not chunk["choices"] and extra.keys() - HEAD_KEYS):
            yield from self._open(0)
            yield self._build(kept, extra)

    def _read_completion(self, completion: Json) -> Iterator[Chunk]:
        extra = without(completion, ("choices", "object"))
        for position, choice in enumerate(completion["choices"]):
            rest = {"index": position} | without(choice, ("message",))
            for delta in _deltas(choice["message"]):
                yield from self._read_chunk({**extra, "choices": [{"index": rest["index"], "delta": delta}]})
            yield from self._read_chunk({**extra, "choices": [rest]})

    def _open(self, index: int) -> Iterator[Chunk]:
        """Yield the role of a choice once, and of those with lower indexes, as clients keep choices in a list."""
        if index >= MAX_CHOICES:
            raise ValueError(f"A choice has the index {index}: there can be no more than {MAX_CHOICES}.")
        for opened in range(len(self._choices), index + 1):
            self._choices[opened] = _Choice()
            delta = {"role": "assistant", "content": ""}
            yield self._build([{"index": opened, "delta": delta, "finish_reason": None}], {})

    def _build(self, choices: list[Json], extra: Json) -> Json:
        chunk = self.head.fields("chat.completion.chunk", extra) | {"choices": choices}
        return chunk if self._no_usage is UNSET else {**chunk, "usage": None}


class _Choice:
    """The state of one choice, and what its last chunk will carry."""

    def __init__(self) -> None:
        self.calls = _ToolCalls()
        self.finish_reason: str | None = None
        self.extra: Json = {}
        self.chunk_extra: Json = {}

    def keep(self, index: int, source: Json, chunk_extra: Json) -> Iterator[Json]:
        """Yield what is sent now; the finish reason is held back, as more may follow it."""
        delta = _set(source.get("delta") or {}, ("role",))  # which clients concatenate like any other text
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [self.calls.delta(call) for call in calls]
        extra = _set(source, ("index", "delta", "finish_reason"))
        if reason := source.get("finish_reason"):
            self.finish_reason, self.extra, self.chunk_extra, extra = reason, extra, chunk_extra, {}
        if extra or any(value or name not in PARTS_OF_A_MESSAGE for name, value in delta.items()):
            yield {**extra, "index": index, "delta": delta, "finish_reason": None}


class _ToolCalls:
    """Numbers the tool calls of a choice from 0, in the order of their first appearance.

    A service may count from any number, repeat ids and names in every delta, or give neither.
    """

    def __init__(self) -> None:
        self.count = 0
        self._calls: dict[object, _Call] = {}

    def delta(self, delta: Json) -> Json:
        """Return the delta of a tool call with its index, and with its id, type and name only if they are new."""
        source_id = delta.get("id")
        key = delta.get("index", source_id)
        call = self._calls.get(key)
        if call is None or (source_id and call.source_id and source_id != call.source_id):
            call = self._calls[key] = _Call(self.count, source_id, delta.get("type") or "function")
            self.count += 1
            delta = {**delta, "id": source_id or new_call_id(), "type": call.type}
        else:
            delta = without(delta, ("id", "type"))
        return {**delta, "index": call.index} | call.function(delta.get("function") or {})


class _Call(Struct):
    index: int
    source_id: str | None
    type: str
    named: bool = False

    def function(self, function: Json) -> Json:
        """Return the function of a delta: clients expect one in each, except for tools of other types."""
        if self.type != "function":
            return {}
        function = _set(function, ("name",) if self.named else ())
        self.named = self.named or "name" in function
        return {"function": function | {"arguments": arguments_text(function.get("arguments"))}}


def new_call_id() -> str:
    """Return an id for a tool call to which the service gave none."""
    return f"call_{token_hex(12)}"


def finish_reason(given: str | None, *, called_tools: bool) -> str:
    """Return the service's finish reason if OpenAI knows it, or else the one that the answer implies."""
    if given in FINISH_REASONS:
        return given
    return "tool_calls" if called_tools else "stop"


def without(source: Json, names: Container[str]) -> Json:
    """Return an object without some of its fields."""
    return {name: value for name, value in source.items() if name not in names}


def _set(source: Json, names: Container[str]) -> Json:
    """Return the fields of an object that are not null, without some of these names."""
    return {name: value for name, value in source.items() if value is not None and name not in names}


def _deltas(message: Json) -> Iterator[Json]:
    for name in PARTS_OF_A_MESSAGE:
        if (value := message.get(name)) and name == "tool_calls":
            yield {name: [{**call, "index": object()} for call in value]}  # each is a new call, whatever its index
        elif value:
            yield {name: value}
    if extra := without(message, (*PARTS_OF_A_MESSAGE, "role")):
        yield extra
