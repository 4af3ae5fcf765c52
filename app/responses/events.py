"""The events of a response: a rising number for each, in OpenAI's order, and the response that they add up to.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Iterator
from time import time
from typing import Any, TypeAlias

from msgspec import Struct

from app.engine.chunks import Chunk
from app.engine.frames import encode, encode_text, named_frame
from app.errors import CompletionError
from app.responses.ids import output_item_id
from app.responses.kinds import ARGUMENTS, CALLS, DELTAS, TEXT, Kind
from app.responses.usage import response_usage
from schemas.responses import (
    ErrorCode,
    IncompleteDetails,
    IncompleteReason,
    OutputItem,
    ReasoningItem,
    Response,
    ResponseError,
    Status,
)

__all__ = ["Events"]

Json: TypeAlias = dict[str, Any]

CUT_OFF: dict[str, IncompleteReason] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
ERROR_CODES: dict[str, ErrorCode] = {  # by the type of an error: OpenAI's clients know no others
    "rate_limit_error": "rate_limit_exceeded",
    "invalid_request_error": "invalid_prompt",
}


class Events:
    """Adds chunks up to a response, and tells of each step.

    Args:
        response: the one that begins.
    """

    def __init__(self, response: Response) -> None:
        self.response = response
        self.frames: list[bytes] | None = None  # what events are appended to, if anybody reads them
        self._number = 0
        self._growing: _Growing | None = None  # the text that goes on, unless another begins
        self._calls: dict[int, _Growing] = {}  # they may interleave, so all go on to the end
        self._own_items: dict[object, int] = {}  # where those are that the service tells of, by their ids

    def begin(self) -> None:
        """Tell of the response, once and before all else."""
        if self._number == 0:
            self.tell("response.created", response=self.response)
            self.tell("response.in_progress", response=self.response)

    def add(self, chunk: Chunk) -> None:
        """Add a chunk; of several answers, the first alone is a response's."""
        self.begin()
        if isinstance(chunk, str):
            self._grow(TEXT, chunk)
            return
        if "event" in chunk:
            self.tell("custom:event", event=chunk["event"])  # clients skip what they do not know
        for choice in chunk["choices"]:
            if choice["index"] == 0:
                self._delta(choice["delta"])

    def complete(self, finish_reason: str, usage: Json | None) -> None:
        """End well, or cut off."""
        self.begin()
        response, reason = self.response, CUT_OFF.get(finish_reason)
        response.usage = response_usage(usage) if isinstance(usage, dict) else None
        if reason is None:
            response.status, response.completed_at = "completed", int(time())
        else:
            response.status, response.incomplete_details = "incomplete", IncompleteDetails(reason=reason)
        for growing in self._open():
            last = growing.position == len(response.output) - 1
            self._end_item(growing, response.status if last else "completed")
        self.tell(f"response.{response.status}", response=response)

    def fail(self, error: CompletionError) -> None:
        """End by an error; what was made so far stays."""
        self.begin()
        code = ERROR_CODES.get(error.type, "server_error")
        self.response.status, self.response.error = "failed", ResponseError(code=code, message=error.message)
        for growing in self._open():
            growing.settle()
            growing.item.status = "incomplete"
        self.tell("response.failed", response=self.response)

    def pass_on(self, event: Json) -> None:
        """Tell an event of the service's own in its place: it gets its number, and an item its place in the output."""
        self.begin()
        kind = event["type"]
        if kind in ("response.output_item.added", "response.output_item.done"):
            self._own_item(event["item"], done=kind.endswith("done"))
            return
        fields = {name: value for name, value in event.items() if name not in ("type", "sequence_number")}
        if (position := self._own_items.get(event.get("item_id"))) is not None:
            fields["output_index"] = position
        self.tell(kind, **fields)

    def tell(self, event: str, /, **fields: object) -> None:
        """Tell of something."""
        if self.frames is not None:
            self.frames.append(named_frame(event, {"type": event, **fields, "sequence_number": self._number}))
        self._number += 1

    def _open(self) -> Iterator["_Growing"]:
        return filter(None, (self._growing, *self._calls.values()))

    def _delta(self, delta: Json) -> None:
        for name, kind in DELTAS:
            text = delta.get(name)
            if isinstance(text, str) and text and (name != "reasoning" or "reasoning_content" not in delta):
                self._grow(kind, text)
        for call in delta.get("tool_calls") or ():
            self._call(call)

    def _grow(self, kind: Kind, text: str) -> None:
        growing = self._growing
        if growing is None or growing.kind is not kind:
            growing = self._growing = self._begin_text(kind)
        self._add(growing, text)

    def _call(self, call: Json) -> None:
        growing = self._calls.get(call["index"])
        called = call.get("function") or call.get("custom") or {}
        if growing is None:
            kind = CALLS.get(call["type"], ARGUMENTS)
            item = self._begin_item(kind, call_id=call["id"], name=called.get("name") or "")
            growing = self._calls[call["index"]] = _Growing(kind, item, len(self.response.output) - 1)
        elif name := called.get("name"):
            growing.item.name = name  # type: ignore[union-attr]  # it is a call
        if text := called.get(growing.kind.field):
            self._add(growing, text)

    def _add(self, growing: "_Growing", text: str) -> None:
        growing.texts.append(text)
        if self.frames is not None:
            self.frames.append(b'%b%d,"delta":%b}\n\n' % (growing.head, self._number, encode_text(text)))
        self._number += 1

    def _begin_text(self, kind: Kind) -> "_Growing":
        """Begin a part, in the same item if that goes on."""
        before = self._growing
        if before is not None and before.kind.item is kind.item:
            self._end_text(before)
            item, position = before.item, before.position
        else:
            item, position = self._begin_item(kind), len(self.response.output) - 1
        growing = _Growing(kind, item, position)
        self.tell(f"{kind.about}.added", **growing.place, part=growing.holder)
        return growing

    def _begin_item(self, kind: Kind, **fields: Any) -> OutputItem:
        self._end_growing()
        output = self.response.output
        item = kind.item(
            id=output_item_id(str(kind.item.__struct_config__.tag), self.response.id, len(output)),
            status="in_progress",
            **fields,
        )
        output.append(item)
        self.tell("response.output_item.added", output_index=len(output) - 1, item=item)
        return item

    def _own_item(self, item: Json, *, done: bool) -> None:
        encode(item)  # or the response that holds it could not even fail
        output: list[Any] = self.response.output  # the document lists our own items alone
        if item["id"] not in self._own_items:
            self._end_growing()
            self._own_items[item["id"]] = len(output)
            output.append(item)
            self.tell("response.output_item.added", output_index=len(output) - 1, item=item)
        if done:
            output[position := self._own_items[item["id"]]] = item
            self.tell("response.output_item.done", output_index=position, item=item)

    def _end_growing(self) -> None:
        """End the item whose text went on: it can be told apart from what follows."""
        if self._growing is not None:
            self._end_item(self._growing, "completed")
            self._growing = None

    def _end_text(self, growing: "_Growing") -> None:
        kind = growing.kind
        text = {kind.field: growing.settle()}
        self.tell(f"{kind.text}.done", **growing.place, **kind.more, **text)
        if kind.part is not None:
            self.tell(f"{kind.about}.done", **growing.place, part=growing.holder)

    def _end_item(self, growing: "_Growing", status: Status) -> None:
        self._end_text(growing)
        growing.item.status = status
        self.tell("response.output_item.done", output_index=growing.position, item=growing.item)


class _Growing:
    """A text that grows.

    Args:
        kind: what it is.
        item: where it is.
        position: of the item in the output.
    """

    def __init__(self, kind: Kind, item: OutputItem, position: int) -> None:
        self.kind = kind
        self.item = item
        self.position = position
        self.texts: list[str] = []
        self.place: Json = {"item_id": item.id, "output_index": position}
        self.holder: Struct = item
        if kind.part is not None:
            self.holder = kind.part()
            parts: list[Any] = item.summary if isinstance(item, ReasoningItem) else item.content  # type: ignore[union-attr]  # calls have no parts
            parts.append(self.holder)
            self.place[kind.index] = len(parts) - 1
        event = f"{kind.text}.delta"  # of which all but number and text is encoded once
        self.head = b"%b," % named_frame(event, {"type": event, **self.place, **kind.more})[: -len(b"}\n\n")]
        self.head += b'"sequence_number":'

    def settle(self) -> str:
        """Put the text where it belongs."""
        text = "".join(self.texts)
        setattr(self.holder, self.kind.field, text)
        return text
