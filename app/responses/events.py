"""Events of a response, numbered and in OpenAI's order, and the response that they add up to.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Iterator
from time import time
from typing import Any

from msgspec import Struct

from app.engine.frames import encode, encode_text, named_frame
from app.engine.parts import ChoiceDelta, ChunkFields
from app.errors import CompletionError
from app.responses.ids import output_item_id
from schemas.chat import Json
from schemas.responses import (
    CustomToolCall,
    ErrorCode,
    FunctionToolCall,
    IncompleteDetails,
    OutputItem,
    OutputMessage,
    OutputRefusal,
    OutputText,
    ReasoningItem,
    Response,
    ResponseError,
    ResponseUsage,
    Status,
    SummaryText,
)

INCOMPLETE = {  # by the finish reason
    "length": IncompleteDetails(reason="max_output_tokens"),
    "content_filter": IncompleteDetails(reason="content_filter"),
}
ERROR_CODES: dict[str, ErrorCode] = {  # by the type of the error; OpenAI's clients accept no other codes
    "rate_limit_error": "rate_limit_exceeded",
    "invalid_request_error": "invalid_prompt",
}


class TextKind(Struct, frozen=True):
    """Kind of text in a response: the item that holds it, or the part of an item, and the names in its events."""

    item: type[OutputItem]
    field: str  # of the item or the part
    event: str
    part: type[OutputText | OutputRefusal | SummaryText] | None = None
    part_event: str = ""
    parts: str = ""  # the item's field that lists its parts
    more: Json = {}  # further fields of the text's events


TEXT = TextKind(OutputMessage, "text", "output_text", OutputText, "content_part", "content", {"logprobs": []})
REFUSAL = TextKind(OutputMessage, "refusal", "refusal", OutputRefusal, "content_part", "content")
REASONING = TextKind(ReasoningItem, "text", "reasoning_summary_text", SummaryText, "reasoning_summary_part", "summary")
ARGUMENTS = TextKind(FunctionToolCall, "arguments", "function_call_arguments")
INPUT = TextKind(CustomToolCall, "input", "custom_tool_call_input")


class Events:
    """Adds parts to a response, and an event to `frames` for each step."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.frames: list[bytes] | None = None  # None if the client does not read events
        self._number = 0
        self._text: _OpenText | None = None  # until another item begins
        self._calls: dict[int, _OpenText] = {}  # until the response ends, as their deltas may interleave
        self._native_items: dict[object, int] = {}  # positions of the service's own items, by id

    def begin(self) -> None:
        """Send the first events, once."""
        if self._number == 0:
            self._send("response.created", response=self.response)
            self._send("response.in_progress", response=self.response)

    def add(self, part: str | ChoiceDelta | ChunkFields) -> None:
        """Add a part; only the first of several choices belongs to the response."""
        self.begin()
        match part:
            case str():
                self._add_text(TEXT, part)
            case ChunkFields({"event": event}):
                self._send("custom:event", event=event)  # clients skip types that they do not know
            case ChoiceDelta(0, delta):
                self._add_delta(delta)

    def add_native(self, event: Json) -> None:
        """Add an event of the service's own: it gets a new number, and its item a place in the output."""
        self.begin()
        if event["type"] in ("response.output_item.added", "response.output_item.done"):
            self._add_native_item(event["item"], done=event["type"] == "response.output_item.done")
            return
        fields = {name: value for name, value in event.items() if name not in ("type", "sequence_number")}
        if event.get("item_id") in self._native_items:
            fields["output_index"] = self._native_items[event["item_id"]]
        self._send(event["type"], **fields)

    def complete(self, finish_reason: str, usage: ResponseUsage | None) -> None:
        """End the response: completed, or incomplete if the finish reason says so."""
        self.begin()
        response = self.response
        response.usage, response.incomplete_details = usage, INCOMPLETE.get(finish_reason)
        response.status = "incomplete" if response.incomplete_details else "completed"
        response.completed_at = None if response.incomplete_details else int(time())
        for text in self._open_texts():
            is_last = text.position == len(response.output) - 1
            self._end_item(text, response.status if is_last else "completed")

    def send_end(self) -> None:
        """Send the last event, which holds the response."""
        self._send(f"response.{self.response.status}", response=self.response)

    def fail(self, error: CompletionError) -> None:
        """End the response by an error; its output so far stays."""
        self.begin()
        code = ERROR_CODES.get(error.type, "server_error")
        self.response.status, self.response.error = "failed", ResponseError(code=code, message=error.message)
        for text in self._open_texts():
            text.settle()
            text.item.status = "incomplete"
        self._send("response.failed", response=self.response)

    def _send(self, type: str, /, **fields: object) -> None:
        if self.frames is not None:
            self.frames.append(named_frame(type, {"type": type, **fields, "sequence_number": self._number}))
        self._number += 1

    def _open_texts(self) -> Iterator["_OpenText"]:
        return filter(None, (self._text, *self._calls.values()))

    def _add_delta(self, delta: Json) -> None:
        reasoning = delta.get("reasoning_content", delta.get("reasoning"))  # a setting sends both
        for kind, text in ((REASONING, reasoning), (TEXT, delta.get("content")), (REFUSAL, delta.get("refusal"))):
            if text and isinstance(text, str):
                self._add_text(kind, text)
        for call in delta.get("tool_calls") or ():
            self._add_call(call)

    def _add_text(self, kind: TextKind, piece: str) -> None:
        text = self._text
        if text is None or text.kind is not kind:
            if text is not None and text.kind.item is kind.item:  # another part of the same item
                self._end_text(text)
                text = _OpenText(kind, text.item, text.position)
            else:
                text = self._begin_item(kind)
            self._text = text
            self._send(f"response.{kind.part_event}.added", **text.place, part=text.holder)
        self._add_piece(text, piece)

    def _add_call(self, call: Json) -> None:
        text = self._calls.get(call["index"])
        called = call.get("function") or call.get("custom") or {}
        name = called.get("name") or ""
        if text is None:
            kind = INPUT if call["type"] == "custom" else ARGUMENTS
            text = self._calls[call["index"]] = self._begin_item(kind, call_id=call["id"], name=name)
        elif name and isinstance(text.item, FunctionToolCall | CustomToolCall):
            text.item.name += name
        if piece := called.get(text.kind.field):
            self._add_piece(text, piece)

    def _add_piece(self, text: "_OpenText", piece: str) -> None:
        text.pieces.append(piece)
        if self.frames is not None:
            self.frames.append(b'%b%d,"delta":%b}\n\n' % (text.delta_head, self._number, encode_text(piece)))
        self._number += 1

    def _add_native_item(self, item: Json, *, done: bool) -> None:
        encode(item)  # if that fails, it must do so before `response.failed` would contain the item
        output: list[Any] = self.response.output  # annotated with our own items, for the API's documentation
        position = self._native_items.setdefault(item["id"], len(output))
        if position == len(output):
            self._end_last_text()
            output.append(item)
            self._send("response.output_item.added", output_index=position, item=item)
        if done:
            output[position] = item
            self._send("response.output_item.done", output_index=position, item=item)

    def _begin_item(self, kind: TextKind, **fields: Any) -> "_OpenText":
        self._end_last_text()
        output, position = self.response.output, len(self.response.output)
        item_id = output_item_id(str(kind.item.__struct_config__.tag), self.response.id, position)
        item = kind.item(id=item_id, status="in_progress", **fields)
        output.append(item)
        self._send("response.output_item.added", output_index=position, item=item)
        return _OpenText(kind, item, position)

    def _end_last_text(self) -> None:
        if self._text is not None:
            self._end_item(self._text, "completed")
            self._text = None

    def _end_text(self, text: "_OpenText") -> None:
        kind = text.kind
        whole = {kind.field: text.settle()}
        self._send(f"response.{kind.event}.done", **text.place, **kind.more, **whole)
        if kind.part is not None:
            self._send(f"response.{kind.part_event}.done", **text.place, part=text.holder)

    def _end_item(self, text: "_OpenText", status: Status) -> None:
        self._end_text(text)
        text.item.status = status
        self._send("response.output_item.done", output_index=text.position, item=text.item)


class _OpenText:
    """Text whose end has not come yet."""

    def __init__(self, kind: TextKind, item: OutputItem, position: int) -> None:
        self.kind = kind
        self.item = item
        self.position = position  # of the item in the output
        self.pieces: list[str] = []
        self.place: Json = {"item_id": item.id, "output_index": position}
        self.holder: Struct = item
        if kind.part is not None:
            self.holder = kind.part()
            parts: list[Struct] = getattr(item, kind.parts)
            self.place[f"{kind.parts}_index"] = len(parts)
            parts.append(self.holder)
        event = f"response.{kind.event}.delta"  # encoded once, but for its number and its text
        frame = named_frame(event, {"type": event, **self.place, **kind.more})
        self.delta_head = frame.removesuffix(b"}\n\n") + b',"sequence_number":'

    def settle(self) -> str:
        """Set the field that holds the text, and return the text."""
        text = "".join(self.pieces)
        setattr(self.holder, self.kind.field, text)
        return text
