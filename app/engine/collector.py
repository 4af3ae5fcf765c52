"""A whole completion, collected from the same chunks that a stream would send."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

from app.engine.chunks import HEAD_KEYS, Chunk, Chunks, Head, finish_reason
from app.engine.items import Item, Json
from app.engine.tool_calls import arguments_text, new_call_id

__all__ = ["Collector"]


class Collector:
    """Adds up the chunks of a response.

    Where the one and only item is a whole answer, a completion or a text, nothing is added up.
    """

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._first: list[Item] = []  # held back while it may be the only one
        self._adds_up = False
        self._answers: defaultdict[int, _Answer] = defaultdict(_Answer)
        self._extra: Json = {}

    def add(self, items: Sequence[Item]) -> None:
        """Add the items that follow those added before."""
        self._first += items
        if self._adds_up or len(self._first) > 1:
            self._adds_up = True
            self._add_up(self._chunks.read(self._first))
            self._first.clear()

    def completion(self) -> Json:
        """The completion of all that was added."""
        if self._first and (whole := self._chunks.whole(self._first[0])) is not None:
            completion = _filled_in(whole, self._chunks.head)
            self._chunks.usage = completion.get("usage")
            self._chunks.finish_reasons = [choice["finish_reason"] for choice in completion["choices"]]
            return completion
        self._add_up(self._chunks.read(self._first))
        self._add_up(self._chunks.finish())
        choices = [answer.choice(index) for index, answer in sorted(self._answers.items())]
        completion = self._chunks.head.open("chat.completion", self._extra) | {"choices": choices}
        return completion | ({"usage": self._chunks.usage} if self._chunks.usage else {})

    def _add_up(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            if isinstance(chunk, str):
                self._answers[0].texts["content"].append(chunk)
            elif "event" not in chunk:
                self._extra |= {name: chunk[name] for name in chunk.keys() - _CHUNK_KEYS}
                for source in chunk["choices"]:
                    self._answers[source["index"]].add(source)


_CHUNK_KEYS = HEAD_KEYS | {"choices", "usage"}
_CHOICE_KEYS = {"index", "delta", "finish_reason"}


class _Answer:
    """One of the answers of a completion, so far."""

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
        _merge(self._extra, {name: choice[name] for name in choice.keys() - _CHOICE_KEYS})
        self._finish_reason = choice["finish_reason"] or self._finish_reason

    def choice(self, index: int) -> Json:
        texts = {name: "".join(parts) for name, parts in self.texts.items()}
        message: Json = {"role": "assistant", "content": "", "refusal": None} | texts | self._message
        if calls := message.get("tool_calls"):
            message["content"] = message["content"] or None
            message["tool_calls"] = [_without_index(call) for call in calls]
        return {
            "index": index,
            "message": message,
            "finish_reason": self._finish_reason,
            "logprobs": None,
            **self._extra,
        }


def _merge(target: Json, delta: Json) -> None:
    """Add a delta the way OpenAI's client does: text and lists grow, objects merge, the rest is replaced."""
    for name, value in delta.items():
        match target.get(name), value:
            case str(known), str() if name != "type":
                target[name] = known + value
            case known, list():
                target[name] = _merged_lists(known or [], value)
            case dict(known), dict():
                _merge(known, value)
            case _:
                target[name] = deepcopy(value)  # the service's own, which may serve it again


def _merged_lists(known: list[Any], delta: list[Any]) -> list[Any]:
    """Objects with an `index` that is known already grow, all else is new."""
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
    """A service's own completion, with what OpenAI requires where it says nothing."""
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
