"""The rules of a stream: what goes out once, what is held back to the end, what is filled in."""

from collections.abc import Iterator, Sequence
from secrets import token_hex
from time import time
from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from app.engine.items import Item, Json, Reader, is_completion
from app.engine.tool_calls import ToolCalls
from schemas.chat import ChatCompletionChunk, ChunkChoice, Delta

__all__ = ["Chunk", "Chunks", "Head", "finish_reason"]

Chunk: TypeAlias = str | Json  # a `str` is the chunk with that content, see `Chunks.text`

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
MAX_CHOICES = 128  # OpenAI's limit of `n`
HEAD_KEYS = frozenset({"id", "object", "created", "model"})
PARTS_OF_A_MESSAGE = ("reasoning_content", "reasoning", "content", "refusal", "tool_calls")


class Head(Struct):
    """What all chunks of a response share."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{token_hex(16)}")
    created: int = field(default_factory=lambda: int(time()))

    def adopt(self, source: Json) -> None:
        """Take over what a chunk or a completion carries of its own."""
        self.id = source.get("id") or self.id
        self.created = source.get("created") or self.created
        self.model = source.get("model") or self.model

    def open(self, kind: str, extra: Json) -> Json:
        """The first keys of an object on the wire."""
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return (
            head | {name: value for name, value in extra.items() if value or name not in HEAD_KEYS} if extra else head
        )


class Chunks:
    """Turns the items of one response into its chunks.

    Args:
        head: what the chunks share.
        reader: what reads the items.
        include_usage: whether the client asked for a chunk of usage.
    """

    def __init__(self, head: Head, reader: Reader, *, include_usage: bool) -> None:
        self.head = head
        self.usage: Json | None = None
        self.finish_reasons: list[str] = []
        self._reader = reader
        self._no_usage: UnsetType | None = None if include_usage else UNSET
        self._choices: dict[int, _Choice] = {}

    def whole(self, item: Item) -> Json | None:
        """The completion that an item is, if it is one or a text."""
        if isinstance(item, str):
            return {"choices": [{"message": {"content": item}}]}
        part = next(self._reader.read(item)) if is_completion(item) else None
        return part if isinstance(part, dict) else None

    def read(self, items: Sequence[Item]) -> Iterator[Chunk]:
        """The chunks of some items that follow those read before."""
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
        """The chunk that a text stands for."""
        return ChatCompletionChunk(
            id=self.head.id,
            created=self.head.created,
            model=self.head.model,
            choices=[ChunkChoice(delta=Delta(content=content))],
            usage=self._no_usage,
        )

    def finish(self) -> Iterator[Chunk]:
        """The chunks that end the response."""
        yield from self._open(0)
        for index, choice in self._choices.items():
            reason = finish_reason(choice.finish_reason, called_tools=len(choice.calls) > 0)
            self.finish_reasons.append(reason)
            yield self._dict(
                [{**choice.extra, "index": index, "delta": {}, "finish_reason": reason}], choice.chunk_extra
            )
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
        """The role of an answer, once, and of those numbered below it: clients keep answers in a list."""
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
    """How far one of the answers has come, and what its last chunk will carry."""

    def __init__(self) -> None:
        self.calls = ToolCalls()
        self.finish_reason: str | None = None
        self.extra: Json = {}
        self.chunk_extra: Json = {}

    def keep(self, index: int, source: Json, chunk_extra: Json) -> Iterator[Json]:
        """What of a source's choice goes out now; its finish is held back, as more may follow it."""
        delta = {
            name: value
            for name, value in (source.get("delta") or {}).items()
            if value is not None and name != "role"  # which the client adds up like any other text
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


def finish_reason(given: str | None, *, called_tools: bool) -> str:
    """The service's own reason if OpenAI knows it, else the one that the answer shows."""
    if given in FINISH_REASONS:
        return given
    return "tool_calls" if called_tools else "stop"


def _deltas(message: Json) -> Iterator[Json]:
    for name in PARTS_OF_A_MESSAGE:
        if (value := message.get(name)) and name == "tool_calls":
            yield {name: [{**call, "index": object()} for call in value]}  # a new call each, whatever it counts as
        elif value:
            yield {name: value}
    if extra := {name: value for name, value in message.items() if name not in (*PARTS_OF_A_MESSAGE, "role")}:
        yield extra
