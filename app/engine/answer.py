"""The rules of an answer: what is sent once, what is held back until the end, what is numbered and filled in."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from math import inf
from numbers import Integral
from secrets import token_hex
from time import time
from typing import Any

from msgspec import Struct

from app.engine.items import MESSAGE_FIELDS, Item, ItemReader, arguments_text, set_fields
from app.engine.parts import ChoiceDelta, ChunkFields, TokenUsage
from schemas.chat import Json

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
HEAD_FIELDS = frozenset({"id", "object", "created", "model"})
MAX_CHOICES = 128  # OpenAI's limit for `n`
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
NO_USAGE: Json = dict.fromkeys(COUNTS, 0)


class Answer:
    """The answer to one request, as far as it has been read.

    Args:
        model: The model that was asked.
        reader: Reads the items.
        id: The id of the answer, by default a new one or that of the model's own chunks.
    """

    def __init__(self, model: str, reader: ItemReader, id: str = "") -> None:
        self._id = id
        self.id = id or f"chatcmpl-{token_hex(16)}"
        self.created = int(time())
        self.model = model
        self.finish_reasons: list[str] = []
        self.reader = reader
        self._choices: dict[int, _Choice] = {}
        self._usages: dict[int, Json] = {}  # by choice, if the model was asked once for each

    @property
    def reported_usage(self) -> Json | None:
        """The numbers of tokens that the model reported, the missing ones 0; None if it reported none."""
        if not self._usages:
            return None
        first, *others = (_complete_usage(usage) for _, usage in sorted(self._usages.items()))
        if not others:
            return first
        prompt, completion = first["prompt_tokens"], sum(each["completion_tokens"] for each in (first, *others))
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    @property
    def usage(self) -> Json:
        """The numbers of tokens, 0 if the model reported none: many clients need numbers."""
        return self.reported_usage or NO_USAGE

    def head(self, kind: str, extra: Json) -> Json:
        """Return the first fields of an object that is sent, and further ones, which may replace them."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            **{name: value for name, value in extra.items() if value or name not in HEAD_FIELDS},
        }

    def adopt(self, source: Json) -> None:
        """Take over the id, unless one was given, the time and the model of a service's own chunk or completion."""
        self.id = self._id or source.get("id") or self.id
        self.created = source.get("created") or self.created
        self.model = source.get("model") or self.model

    def read(self, item: Item) -> Iterator[str | ChoiceDelta | ChunkFields]:  # noqa: C901 - a row for each kind of part
        """Yield what is sent for an item that follows those read before."""
        for part in self.reader.read(item):
            match part:
                case str(text):
                    if not self._choices:
                        yield from self._open(0, {})
                    if text:
                        yield text
                case ChoiceDelta() as delta:
                    if delta.index not in self._choices:
                        yield from self._open(delta.index, delta.chunk)
                    if (sent := self._choices[delta.index].read(delta)) is not None:
                        yield sent
                case ChunkFields() as chunk:
                    yield from self._open(0, chunk.fields)
                    if chunk.fields.keys() - HEAD_FIELDS:
                        yield chunk
                case TokenUsage():
                    self.add_usage(part.usage, part.index)

    def finish(self) -> Iterator[ChoiceDelta]:
        """Yield what ends the choices."""
        yield from self._open(0, {})
        for index, choice in self._choices.items():
            if held_back := choice.calls.unnamed():
                yield ChoiceDelta(index, {"tool_calls": held_back})
            reason = finish_reason(choice.finish_reason, called_tools=choice.calls.count > 0)
            self.finish_reasons.append(reason)
            yield ChoiceDelta(index, {}, reason, choice.extra, choice.chunk)

    def add_usage(self, usage: object, index: int = 0) -> None:
        """Add numbers of tokens, for the choice `index` if the model was asked for each choice."""
        known = set_fields(usage) if isinstance(usage, Mapping) else {}
        if any(_is_count(known.get(name)) for name in COUNTS):  # a service may report anything
            self._usages[index] = self._usages.get(index, {}) | known

    def _open(self, index: int, head: Json) -> Iterator[ChoiceDelta]:
        """Yield the role of a choice once, and of those with lower indexes, as clients keep choices in a list."""
        if not self._choices:
            self.adopt(head)
        if index >= MAX_CHOICES:
            raise ValueError(f"A choice has the index {index}: there can be no more than {MAX_CHOICES}.")
        for opened in range(len(self._choices), index + 1):
            self._choices[opened] = _Choice()
            yield ChoiceDelta(opened, {"role": "assistant", "content": ""})


class _Choice:
    """The state of one choice, and what its last chunk will carry."""

    def __init__(self) -> None:
        self.calls = _ToolCalls()
        self.finish_reason: str | None = None
        self.extra: Json = {}
        self.chunk: Json = {}

    def read(self, part: ChoiceDelta) -> ChoiceDelta | None:
        """Return what is sent now, if anything is; the finish reason is held back, as more may follow it."""
        delta = set_fields(part.delta, ("role",))  # which clients concatenate like any other text
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [sent for sent in self.calls.read(calls) if sent]
        extra = _finite_logprobs(part.extra)
        if part.finish_reason:
            self.finish_reason, self.extra, self.chunk, extra = part.finish_reason, extra, part.chunk, {}
        if extra or any(value or name not in MESSAGE_FIELDS for name, value in delta.items()):
            return ChoiceDelta(part.index, delta, None, extra, part.chunk)
        return None


class _ToolCalls:
    """Numbers the tool calls of a choice from 0, in the order in which they are sent: clients keep them in a list.

    A service may count from any number, repeat ids and names in every delta, or give neither.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._indexes = count()
        self._by_key: dict[object, _Call] = {}  # by the source's index or id

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._calls)

    def read(self, deltas: Sequence[Json]) -> Iterator[Json | None]:
        """Yield the deltas as they are sent, None for one that waits for the name of its call."""
        for position, delta in enumerate(deltas):
            yield self._find(delta, len(deltas) - position).read(delta)

    def unnamed(self) -> list[Json]:
        """Return the first deltas of calls whose name has not come."""
        return [call.begin({}, {}) for call in self._calls if not call.is_sent]

    def _find(self, delta: Json, from_end: int) -> "_Call":
        """Return the call that a delta belongs to; `from_end` is its position among the deltas that came with it."""
        source_id, function = delta.get("id") or None, delta.get("function") or {}
        key = source_id if (index := delta.get("index")) is None else index
        if key is None:  # then a name begins a call
            is_new = bool(function.get("name")) or from_end > len(self._calls)
            return self._add(delta, None) if is_new else self._calls[-from_end]
        call = self._by_key.get(key)
        if call is None or (source_id and call.source_id and source_id != call.source_id):
            call = self._by_key[key] = self._add(delta, source_id)
        call.source_id = call.source_id or source_id
        return call

    def _add(self, delta: Json, source_id: str | None) -> "_Call":
        self._calls.append(_Call(self._indexes, delta.get("type") or "function", source_id))
        return self._calls[-1]


class _Call(Struct):
    indexes: Iterator[int]
    type: str
    source_id: str | None
    name: str = ""
    arguments: str = ""  # that came before the name
    index: int = -1  # until its first delta is sent

    @property
    def is_sent(self) -> bool:
        """Whether its first delta has been sent."""
        return self.index >= 0

    def read(self, delta: Json) -> Json | None:
        """Return the delta as it is sent, or None until the name is there: id, type and name go out once."""
        rest = set_fields(delta, ("index", "id", "type", "function"))
        if self.type != "function":  # its form is not known
            return {"index": self.index, **rest} if self.is_sent else self.begin(rest, {})
        function = set_fields(delta.get("function") or {})
        name = function.pop("name", "")
        name = "" if name == self.name else name  # some services repeat it in every delta
        self.name += name
        function["arguments"] = arguments_text(function.get("arguments"))
        if self.is_sent:  # a further piece of the name goes out too: clients concatenate them
            return {"index": self.index, **rest, "function": ({"name": name} if name else {}) | function}
        self.arguments += function.pop("arguments")
        return self.begin(rest, function) if self.name else None

    def begin(self, rest: Json, function: Json) -> Json:
        """Return the first delta that is sent."""
        self.index = next(self.indexes)
        first = {"index": self.index, "id": self.source_id or new_call_id(), "type": self.type, **rest}
        if self.type != "function":
            return first
        return {**first, "function": {"name": self.name, "arguments": self.arguments, **function}}


def new_call_id() -> str:
    """Return an id for a tool call to which the service gave none."""
    return f"call_{token_hex(12)}"


def finish_reason(given: str | None, *, called_tools: bool) -> str:
    """Return the service's finish reason if OpenAI knows it, or else the one that the answer implies."""
    if given in FINISH_REASONS:
        return given
    return "tool_calls" if called_tools else "stop"


def _complete_usage(usage: Json) -> Json:
    """Return numbers of tokens with those that OpenAI requires, 0 where the model reported none."""
    counts = {name: int(usage[name]) for name in COUNTS if _is_count(usage.get(name))}
    return usage | NO_USAGE | {"total_tokens": sum(counts.values())} | counts


def _is_count(tokens: object) -> bool:
    return isinstance(tokens, Integral) and int(tokens) >= 0


def _finite_logprobs(extra: Json) -> Json:
    """Return further fields of a choice with log probabilities that JSON has: OpenAI sends -9999.0 for none at all."""
    if not extra.get("logprobs"):
        return extra
    return extra | {"logprobs": _finite(extra["logprobs"])}


def _finite(value: Any) -> Any:
    match value:
        case float() if value == -inf:
            return -9999.0
        case dict():
            return {name: _finite(each) for name, each in value.items()}
        case list():
            return [_finite(each) for each in value]
    return value
