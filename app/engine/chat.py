"""The renderer of chat completions: chunks in a stream, or one completion collected from the same parts.

A renderer turns the parts of an answer into the format of an API: the frames of a stream, or one JSON object.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any, Protocol, TypeAlias, cast

from msgspec import UNSET

from app.engine.answer import Answer
from app.engine.frames import DONE, ChunkFrames, frame
from app.engine.items import Item, ItemReader, set_fields
from app.engine.parts import ChoiceDelta, ChunkFields
from app.errors import CompletionError
from schemas.chat import ChatCompletionChunk, ChatCompletionRequest, Json


class Renderer(Protocol):
    """Renders the items of a completion.

    Args:
        answer: Reads the items.
        last: The bytes after the last frame of a stream.
    """

    answer: Answer
    last: bytes

    def write(self, items: Sequence[Item], frames: list[bytes]) -> None:
        """Append the frames of some items; if one fails, those of the items before it stay."""
        ...

    async def finish(self, frames: list[bytes]) -> None:
        """Append the frames that end a stream without an error."""
        ...

    async def fail(self, error: CompletionError) -> bytes:
        """Return the frames that end a stream with an error."""
        ...

    async def whole(self, items: Sequence[Item]) -> Any:
        """Return the JSON object of all items of an answer that does not stream."""
        ...


MakeRenderer: TypeAlias = Callable[[ChatCompletionRequest, ItemReader], Renderer]


class ChatRenderer:
    """Renders a chat completion, or the chunks of one."""

    last = DONE

    def __init__(self, request: ChatCompletionRequest, reader: ItemReader) -> None:
        self.answer = Answer(request.model, reader)
        self._include_usage = request.include_usage
        self._frames: ChunkFrames | None = None  # with the first part, the head of all chunks is known

    def write(self, items: Sequence[Item], frames: list[bytes]) -> None:
        """Append a frame for each part."""
        for item in items:
            if type(item) is str and self._frames is not None:  # as most items are
                if item:
                    frames.append(self._frames.text(item))
            else:
                for part in self.answer.read(item):
                    frames.append(self._frame(part))  # noqa: PERF401 - those before an error stay

    async def finish(self, frames: list[bytes]) -> None:
        """Append the finish reasons and the usage."""
        frames.extend(map(self._frame, self.answer.finish()))
        if self._include_usage:
            frames.append(frame(self._chunk({}, []) | {"usage": self.answer.usage}))

    async def fail(self, error: CompletionError) -> bytes:
        """Return a frame with the error."""
        return frame(error.to_response())

    async def whole(self, items: Sequence[Item]) -> Json:
        """Return the completion."""
        collected = Collected()
        if all(type(item) is str for item in items):  # as most are; the same in a third of the time
            collected.add(cast("Sequence[str]", items) or ("",))
            self.answer.finish_reasons.append("stop")
        else:
            for item in items:
                collected.add(self.answer.read(item))
            collected.add(self.answer.finish())
        head = self.answer.head("chat.completion", collected.extra)
        return head | {"choices": collected.choices(), "usage": self.answer.usage}

    def _frame(self, part: str | ChoiceDelta | ChunkFields) -> bytes:
        if self._frames is None:
            answer, usage = self.answer, None if self._include_usage else UNSET
            chunk = ChatCompletionChunk(
                id=answer.id, created=answer.created, model=answer.model, choices=[], usage=usage
            )
            self._frames = ChunkFrames(chunk)
        match part:
            case str():
                return self._frames.text(part)
            case ChunkFields():
                return frame(self._chunk(part.fields, []))
        choice = {**part.extra, "index": part.index, "delta": part.delta, "finish_reason": part.finish_reason}
        return frame(self._chunk(part.chunk, [choice])) if part.chunk else self._frames.choice(choice)

    def _chunk(self, extra: Json, choices: list[Json]) -> Json:
        chunk = self.answer.head("chat.completion.chunk", extra) | {"choices": choices}
        return chunk | {"usage": None} if self._include_usage else chunk


class Collected:
    """A completion that is collected from its parts."""

    def __init__(self) -> None:
        self.extra: Json = {}
        self._choices: defaultdict[int, _Choice] = defaultdict(_Choice)

    def add(self, parts: Iterable[str | ChoiceDelta | ChunkFields]) -> None:
        """Add the parts that follow."""
        for part in parts:
            match part:
                case str():
                    self._choices[0].texts["content"].append(part)
                case ChunkFields(fields):
                    self.extra |= set_fields(fields, ("event",))
                case ChoiceDelta():
                    self.extra |= part.chunk
                    self._choices[part.index].add(part)

    def choices(self) -> list[Json]:
        """Return the choices."""
        return [choice.whole(index) for index, choice in sorted(self._choices.items())]


class _Choice:
    """One choice of a completion, as far as it is collected."""

    def __init__(self) -> None:
        self.texts: defaultdict[str, list[str]] = defaultdict(list)
        self._finish_reason = "stop"
        self._message: Json = {}
        self._extra: Json = {}

    def add(self, part: ChoiceDelta) -> None:
        for name, value in part.delta.items():
            if not isinstance(value, str):
                _merge(self._message, {name: value})
            elif name != "role":
                self.texts[name].append(value)
        _merge(self._extra, part.extra)
        self._finish_reason = part.finish_reason or self._finish_reason

    def whole(self, index: int) -> Json:
        texts = {name: "".join(pieces) for name, pieces in self.texts.items()}
        message: Json = {"role": "assistant", "content": "", "refusal": None} | texts | self._message
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [set_fields(call, ("index",)) for call in calls]
        if calls or message["refusal"]:
            message["content"] = message["content"] or None
        rest = {"finish_reason": self._finish_reason, "logprobs": None, **self._extra}
        return {"index": index, "message": message, **rest}


def _merge(target: Json, delta: Json) -> None:
    """Add a delta as OpenAI's client does: strings and lists grow, objects merge, the rest is replaced."""
    for name, value in delta.items():
        match target.get(name), value:
            case str(known), str() if name != "type":
                target[name] = known + value
            case known, list():
                target[name] = _merged_lists(known or [], value)
            case dict(known), dict():
                _merge(known, value)
            case _:
                target[name] = deepcopy(value)  # the service may send the same object again


def _merged_lists(known: list[Any], delta: list[Any]) -> list[Any]:
    """Merge objects with an `index` that is known already, and append everything else."""
    merged = list(known)
    for value in delta:
        index = value.get("index") if isinstance(value, dict) else None
        for entry in merged:
            if index is not None and isinstance(entry, dict) and entry.get("index") == index:
                _merge(entry, value)
                break
        else:
            merged.append(deepcopy(value))
    return merged
