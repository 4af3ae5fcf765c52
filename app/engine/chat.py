"""The renderer of chat completions: chunks in a stream, or one completion collected from the same chunks."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any

from app.engine.chunks import HEAD_KEYS, Chunk, Chunks, Head, finish_reason, new_call_id, without
from app.engine.frames import DONE, frame, text_framer
from app.engine.results import Item, ItemReader, arguments_text, is_completion
from app.errors import CompletionError
from schemas.chat import ChatCompletionRequest, Json

CHUNK_KEYS = HEAD_KEYS | {"choices", "usage"}
CHOICE_KEYS = {"index", "delta", "finish_reason"}


class ChatRenderer:
    """Renders a chat completion, or the chunks of one; see `app.engine.renderer.Renderer`.

    An answer of one item that is a completion or text is not split into chunks first.
    """

    last = DONE

    def __init__(self, request: ChatCompletionRequest, reader: ItemReader) -> None:
        self.chunks = Chunks(Head(request.model), reader, include_usage=request.include_usage)
        self._reader = reader
        self._first: list[Item] | None = []  # held back while it may be the only one
        self._choices: defaultdict[int, _Choice] = defaultdict(_Choice)
        self._extra: Json = {}

    def write(self, items: Sequence[Item], frames: list[bytes]) -> None:
        """Append a frame for each chunk."""
        for chunk in self.chunks.read(items):
            frames.append(self._text_frame(chunk) if isinstance(chunk, str) else frame(chunk))  # noqa: PERF401 - those before an error stay

    async def finish(self, frames: list[bytes]) -> None:
        """Append the finish reasons and the usage."""
        frames.extend(map(frame, self.chunks.finish()))

    def fail(self, error: CompletionError) -> bytes:
        """Return a frame with the error."""
        return frame(error.to_response())

    def add(self, items: Sequence[Item]) -> None:
        """Collect the items."""
        if self._first is not None:
            items = [*self._first, *items]
            self._first = items if len(items) < 2 else None
        if self._first is None:
            self._collect(self.chunks.read(items))

    async def whole(self) -> Json:
        """Return the completion."""
        first = self._first or ()
        if first and (completion := self._completion(first[0])) is not None:
            return completion
        self._collect(self.chunks.read(first))
        self._collect(self.chunks.finish())
        choices = [choice.whole(index) for index, choice in sorted(self._choices.items())]
        completion = self.chunks.head.fields("chat.completion", self._extra) | {"choices": choices}
        return completion | ({"usage": self.chunks.usage} if self.chunks.usage else {})

    def _completion(self, item: Item) -> Json | None:
        """Return an item with the fields that OpenAI requires, if it is a completion or text."""
        if not isinstance(item, str) and not is_completion(item):
            return None
        part = next(self._reader.read(item))
        completion: Json = {"choices": [{"message": {"content": part}}]} if isinstance(part, str) else part
        self.chunks.head.adopt(completion)
        choices = [_filled_in(index, choice) for index, choice in enumerate(completion["choices"])]
        self.chunks.usage = completion.get("usage")
        self.chunks.finish_reasons = [choice["finish_reason"] for choice in choices]
        return self.chunks.head.fields("chat.completion", completion) | {"choices": choices}

    @cached_property
    def _text_frame(self) -> Callable[[str], bytes]:
        return text_framer(self.chunks.text(""))  # with the first text, the head of all chunks is known

    def _collect(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            if isinstance(chunk, str):
                self._choices[0].texts["content"].append(chunk)
            elif "event" not in chunk:
                self._extra |= without(chunk, CHUNK_KEYS)
                for choice in chunk["choices"]:
                    self._choices[choice["index"]].add(choice)


class _Choice:
    """One choice of a completion, as far as it is collected."""

    def __init__(self) -> None:
        self.texts: defaultdict[str, list[str]] = defaultdict(list)
        self._finish_reason = "stop"
        self._message: Json = {}
        self._extra: Json = {}

    def add(self, choice: Json) -> None:
        for name, value in choice["delta"].items():
            if not isinstance(value, str):
                _merge(self._message, {name: value})
            elif name != "role":
                self.texts[name].append(value)
        _merge(self._extra, {name: choice[name] for name in choice.keys() - CHOICE_KEYS})
        self._finish_reason = choice["finish_reason"] or self._finish_reason

    def whole(self, index: int) -> Json:
        texts = {name: "".join(parts) for name, parts in self.texts.items()}
        message: Json = {"role": "assistant", "content": "", "refusal": None} | texts | self._message
        if calls := message.get("tool_calls"):
            message["content"] = message["content"] or None
            message["tool_calls"] = [without(call, ("index",)) for call in calls]
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


def _filled_in(index: int, choice: Json) -> Json:
    message = {"role": "assistant", "content": None, "refusal": None} | choice["message"]
    if calls := message.get("tool_calls"):
        message["tool_calls"] = [_filled_in_call(call) for call in calls]
    reason = finish_reason(choice.get("finish_reason"), called_tools=bool(calls))
    return {"index": index, "logprobs": None} | choice | {"message": message, "finish_reason": reason}


def _filled_in_call(call: Json) -> Json:
    call = without(call, ("index",)) | {"id": call.get("id") or new_call_id(), "type": call.get("type") or "function"}
    if function := call.get("function"):
        call["function"] = function | {"arguments": arguments_text(function.get("arguments"))}
    return call
