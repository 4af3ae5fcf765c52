"""The renderer of chat completions: chunks in a stream, or one completion collected from the same chunks."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any

from app.engine.chunks import HEAD_KEYS, Chunk, Chunks, Head, finish_reason, new_call_id
from app.engine.frames import DONE, frame, text_framer
from app.engine.results import Item, ItemReader, arguments_text
from app.errors import CompletionError
from schemas.chat import ChatCompletionRequest, Json

CHUNK_KEYS = HEAD_KEYS | {"choices", "usage"}
CHOICE_KEYS = {"index", "delta", "finish_reason"}


class ChatRenderer:
    """Renders a chat completion, or the chunks of one; see `app.engine.renderer.Renderer`."""

    last = DONE

    def __init__(self, request: ChatCompletionRequest, reader: ItemReader) -> None:
        self.chunks = Chunks(Head(request.model), reader, include_usage=request.include_usage)
        self._collector = Collector(self.chunks)

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
        self._collector.add(items)

    async def whole(self) -> Any:
        """Return the completion."""
        return self._collector.completion()

    @cached_property
    def _text_frame(self) -> Callable[[str], bytes]:
        return text_framer(self.chunks.text(""))  # with the first text, the head of all chunks is known


class Collector:
    """Collects the chunks of a response into a completion.

    If there is one item only and it is a completion or text, it is not split into chunks first.
    """

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._first: list[Item] = []  # held back while it may be the only one
        self._has_several = False
        self._choices: defaultdict[int, _Choice] = defaultdict(_Choice)
        self._extra: Json = {}

    def add(self, items: Sequence[Item]) -> None:
        """Add items that follow those added before."""
        self._first += items
        if self._has_several or len(self._first) > 1:
            self._has_several = True
            self._collect(self._chunks.read(self._first))
            self._first.clear()

    def completion(self) -> Json:
        """Return the completion of all items."""
        if self._first and (whole := self._chunks.whole(self._first[0])) is not None:
            completion = _filled_in(whole, self._chunks.head)
            self._chunks.usage = completion.get("usage")
            self._chunks.finish_reasons = [choice["finish_reason"] for choice in completion["choices"]]
            return completion
        self._collect(self._chunks.read(self._first))
        self._collect(self._chunks.finish())
        choices = [choice.whole(index) for index, choice in sorted(self._choices.items())]
        completion = self._chunks.head.open("chat.completion", self._extra) | {"choices": choices}
        return completion | ({"usage": self._chunks.usage} if self._chunks.usage else {})

    def _collect(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            if isinstance(chunk, str):
                self._choices[0].texts["content"].append(chunk)
            elif "event" not in chunk:
                self._extra |= {name: chunk[name] for name in chunk.keys() - CHUNK_KEYS}
                for source in chunk["choices"]:
                    self._choices[source["index"]].add(source)


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
            message["tool_calls"] = [_without_index(call) for call in calls]
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


def _filled_in(completion: Json, head: Head) -> Json:
    """Return a service's completion with the fields that OpenAI requires."""
    head.adopt(completion)
    choices = [_filled_in_choice(index, choice) for index, choice in enumerate(completion["choices"])]
    return head.open("chat.completion", completion) | {"choices": choices}


def _filled_in_choice(index: int, choice: Json) -> Json:
    message = {"role": "assistant", "content": None, "refusal": None} | choice["message"]
    if calls := message.get("tool_calls"):
        message["tool_calls"] = [_filled_in_call(call) for call in calls]
    reason = finish_reason(choice.get("finish_reason"), called_tools=bool(calls))
    return {"index": index, "logprobs": None} | choice | {"message": message, "finish_reason": reason}


def _filled_in_call(call: Json) -> Json:
    call = _without_index(call) | {"id": call.get("id") or new_call_id(), "type": call.get("type") or "function"}
    if function := call.get("function"):
        call["function"] = function | {"arguments": arguments_text(function.get("arguments"))}
    return call


def _without_index(call: Json) -> Json:
    return {name: value for name, value in call.items() if name != "index"}
