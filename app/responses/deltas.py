"""The answer of a chat as items of a response."""

from collections.abc import Iterator
from typing import Any

from app.engine.parts import ChoiceDelta, ChunkFields
from app.responses import items
from app.responses.events import Events
from app.responses.items import ARGUMENTS, CALLS, INPUT, REASONING, REFUSAL, SUMMARY, TEXT, OpenItem, TextKind, copy_of
from app.responses.request import LOGPROBS, namespaces_of
from schemas.chat import Json
from schemas.responses import ResponseRequest


class Deltas:
    """Adds the parts of a chat's answer to a response, as far as the request asks for them."""

    def __init__(self, events: Events, asked: ResponseRequest) -> None:
        self._events = events
        self._has_logprobs = LOGPROBS in (asked.include or ())
        self._reasoning = (REASONING, SUMMARY) if events.response.reasoning["summary"] else (REASONING,)
        self._namespaces = namespaces_of(events.response.tools)
        self._text: items.OpenText | None = None  # the last text of a message
        self._calls: dict[int, OpenItem] = {}

    def continue_text(self, piece: str, more: Iterator[Any]) -> bool:
        """Add a piece, and more of them, if they go on with the text before them, or return False."""
        if self._text is None or not self._text.ends:
            return False
        self._events.send_pieces(self._text, [*filter(None, (piece, *more))])
        return True

    def add(self, part: str | ChoiceDelta | ChunkFields) -> None:
        """Add a part; only the first of several choices belongs to the response."""
        match part:
            case str():
                self._add_text(TEXT, part)
            case ChunkFields({"event": event}):  # the one type that all clients skip; openai-node fails by others
                self._events.send({"type": "keepalive", "event": event})
            case ChoiceDelta(0, delta, _, extra):
                self._add_delta(delta, (extra.get("logprobs") or {}).get("content") if self._has_logprobs else None)

    def _add_delta(self, delta: Json, logprobs: list[Json] | None) -> None:
        for kind, piece in _texts(delta):
            self._add_text(kind, piece, logprobs if kind is TEXT else None)
            logprobs = None if kind is TEXT else logprobs
        for call in delta.get("tool_calls") or ():
            self._add_call(call)
        last = self._events.last
        if logprobs and last and last.kind in (TEXT, REFUSAL):  # whose text came before them
            self._add_text(TEXT, "", logprobs)
        for nested in delta.get("annotations") or ():
            annotation = {"type": nested["type"], **nested.get(nested["type"], nested)}
            self._events.tell(self._item_of(TEXT), copy_of({"type": items.ANNOTATION, "annotation": annotation}))

    def _add_text(self, kind: TextKind, piece: str, logprobs: list[Json] | None = None) -> None:
        item, more = self._item_of(kind), {"logprobs": logprobs} if logprobs else {}
        for each in self._reasoning if kind is REASONING else (kind,):
            self._events.tell(item, copy_of({"type": f"response.{each.event}.delta", "delta": piece, **more}))
        self._text = item.text(TEXT)

    def _item_of(self, kind: TextKind) -> OpenItem:
        """Return the last item if it may hold a text of a kind, or else a new one."""
        last = self._events.last
        return last if last and last.kind and last.kind.item is kind.item else self._begin(kind)

    def _add_call(self, call: Json) -> None:
        called = call.get("function") or call.get("custom") or {}
        name, item = called.get("name") or "", self._calls.get(call["index"])
        if item is None:
            kind = INPUT if call["type"] == "custom" else ARGUMENTS
            space = {"namespace": self._namespaces[name]} if kind is ARGUMENTS and name in self._namespaces else {}
            item = self._calls[call["index"]] = self._begin(kind, call_id=call["id"], name=name, **space)
        elif name:
            item.item["name"] += name
        kind = CALLS[item.item["type"]]
        if piece := called.get(kind.field):
            self._events.tell(item, copy_of({"type": f"response.{kind.event}.delta", "delta": piece}))

    def _begin(self, kind: TextKind, **fields: Any) -> OpenItem:
        item = OpenItem(copy_of(kind.item(status="in_progress", **fields)), kind)
        self._events.begin_item(item)
        return item


def _texts(delta: Json) -> Iterator[tuple[TextKind, str]]:
    """Yield the texts of a delta, each with its kind. A field may hold a list of parts."""
    reasoning = delta.get("reasoning_content", delta.get("reasoning"))  # a setting sends both
    for kind, content in ((REASONING, reasoning), (TEXT, delta.get("content")), (REFUSAL, delta.get("refusal"))):
        for part in content if isinstance(content, list) else [{"text": content}]:
            for name, kind_of_part in (("text", kind), ("refusal", REFUSAL)):
                if isinstance(part, dict) and isinstance(piece := part.get(name), str) and piece:
                    yield kind_of_part, piece
