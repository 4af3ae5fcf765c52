"""The rules of a stream: what is sent once, what is held back until the end, what is filled in."""

from collections.abc import Iterator, Sequence
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

    def open(self, kind: str, extra: Json) -> Json:
        """Return the first keys of an object that is sent."""
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

    def whole(self, item: Item) -> Json | None:
        """Return the completion that an item is, if it is a completion or text."""
        if isinstance(item, str):
            return {"choices": [{"message": {"content": item}}]}
        part = next(self._reader.read(item)) if is_completion(item) else None
        return part if isinstance(part, dict) else None

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
                    yield from self._completion(part)
                else:
                    yield from self._chunk(part)

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
            reason = finish_reason(choice.finish_reason, called_tools=len(choice.calls) > 0)
            self.finish_reasons.append(reason)
            last = {**choice.extra, "index": index, "delta": {}, "finish_reason": reason}
            yield self._dict([last], choice.chunk_extra)
        if self._no_usage is None and self.usage:
            yield {**self._dict([], {}), "usage": self.usage}

    def _chunk(self, chunk: Json) -> Iterator[Chunk]:
        if not self._choices:
            self.head.adopt(chunk)
        self.usage = chunk.get("usage") or self.usage
        extra = {name: value for name, value in chunk.items() if name not in ("choices", "usage")}
        kept: list[Json] = []
        for source in chunk["choices"]:
            index = source.get("index") or 0
            yield from self._open(index)
            kept.extend(self._choices[index].keep(index, source, extra))
        if kept or (not chunk["choices"] and extra.keys() - HEAD_KEYS):
            yield from self._open(0)
            yield self._dict(kept, extra)

    def _completion(self, completion: Json) -> Iterator[Chunk]:
        extra = {name: value for name, value in completion.items() if name not in ("choices", "object")}
        for position, choice in enumerate(completion["choices"]):
            rest = {"index": position} | {name: value for name, value in choice.items() if name != "message"}
            for delta in _deltas(choice["message"]):
                yield from self._chunk({**extra, "choices": [{"index": rest["index"], "delta": delta}]})
            yield from self._chunk({**extra, "choices": [rest]})

    def _open(self, index: int) -> Iterator[Chunk]:
        """Yield the role of a choice once, and of those with lower indexes: clients keep choices in a list."""
        if index >= MAX_CHOICES:
            raise ValueError(f"A choice has the index {index}: there can be no more than {MAX_CHOICES}.")
        for opened in range(len(self._choices), index + 1):
            self._choices[opened] = _Choice()
            delta = {"role": "assistant", "content": ""}
            yield self._dict([{"index": opened, "delta": delta, "finish_reason": None}], {})

    def _dict(self, choices: list[Json], extra: Json) -> Json:
        chunk = self.head.open("chat.completion.chunk", extra) | {"choices": choices}
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
        delta = {
            name: value
            for name, value in (source.get("delta") or {}).items()
            if value is not None and name != "role"  # clients concatenate it like any other text
        }
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [self.calls.delta(call) for call in calls]
        extra = {
            name: value
            for name, value in source.items()
            if value is not None and name not in ("index", "delta", "finish_reason")
        }
        if reason := source.get("finish_reason"):
            self.finish_reason, self.extra, self.chunk_extra, extra = reason, extra, chunk_extra, {}
        if extra or any(value or name not in PARTS_OF_A_MESSAGE for name, value in delta.items()):
            yield {**extra, "index": index, "delta": delta, "finish_reason": None}


class _ToolCalls:
    """Numbers the tool calls of a choice from 0, in the order of their first appearance.

    A service may count from any number, repeat ids and names in every delta, or give neither.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_key: dict[object, _Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def delta(self, call: Json) -> Json:
        """Return the delta of a tool call with its index, and with its id, type and name only if they are new."""
        source_id = call.get("id")
        key = call.get("index", source_id)
        known = self._by_key.get(key)
        if known is None or (source_id and known.source_id and source_id != known.source_id):
            kind = call.get("type") or "function"
            known = self._by_key[key] = _Call(len(self._calls), source_id, kind)
            self._calls.append(known)
            call = {**call, "id": source_id or new_call_id(), "type": kind}
        else:
            call = {name: value for name, value in call.items() if name not in ("id", "type")}
        return {**call, "index": known.index} | known.function(call.get("function") or {})


class _Call:
    def __init__(self, index: int, source_id: str | None, kind: str) -> None:
        self.index = index
        self.source_id = source_id
        self._kind = kind
        self._named = False

    def function(self, function: Json) -> Json:
        """Return the function of a delta: clients expect one in each, except for tools of other kinds."""
        if self._kind != "function":
            return {}
        function = {name: value for name, value in function.items() if value is not None}
        function["arguments"] = arguments_text(function.get("arguments"))
        if self._named:
            function.pop("name", None)
        self._named = self._named or "name" in function
        return {"function": function}


def new_call_id() -> str:
    """Return an id for a tool call to which the service gave none."""
    return f"call_{token_hex(12)}"


def finish_reason(given: str | None, *, called_tools: bool) -> str:
    """Return the service's finish reason if OpenAI knows it, or else the one that the answer implies."""
    if given in FINISH_REASONS:
        return given
    return "tool_calls" if called_tools else "stop"


def _deltas(message: Json) -> Iterator[Json]:
    for name in PARTS_OF_A_MESSAGE:
        if (value := message.get(name)) and name == "tool_calls":
            yield {name: [{**call, "index": object()} for call in value]}  # each is a new call, whatever its index
        elif value:
            yield {name: value}
    if extra := {name: value for name, value in message.items() if name not in (*PARTS_OF_A_MESSAGE, "role")}:
        yield extra
