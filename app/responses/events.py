"""Events of a response, numbered and in OpenAI's order, and the response that they add up to.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections import deque
from collections.abc import Mapping, Sequence
from copy import deepcopy
from time import time
from typing import Any

from app.engine.frames import encode, encode_text, named_frame
from app.engine.parts import ChoiceDelta, ChunkFields
from app.errors import ClientDisconnectedError, CompletionError
from app.responses.ids import output_item_id
from app.responses.open_items import (
    ARGUMENTS,
    INPUT,
    REASONING,
    REFUSAL,
    SUMMARY,
    TEXT,
    NativeItem,
    OpenItem,
    OpenText,
    TextKind,
)
from schemas.chat import Json
from schemas.responses import (
    CustomToolCall,
    ErrorCode,
    FunctionToolCall,
    IncompleteDetails,
    OutputItem,
    OutputMessage,
    OutputText,
    Response,
    ResponseError,
    ResponseUsage,
    Status,
)

INCOMPLETE = {  # by the finish reason
    "length": IncompleteDetails(reason="max_output_tokens"),
    "content_filter": IncompleteDetails(reason="content_filter"),
}
ERROR_CODES: dict[str, ErrorCode] = {  # by the type of the error; OpenAI's clients accept no other codes
    "rate_limit_error": "rate_limit_exceeded",
    "invalid_request_error": "invalid_prompt",
}


class Events:
    """Adds parts to a response, and an event to `frames` for each step.

    Items are sent one after another: one that begins before the end of another waits.

    Args:
        response: The response, without output.
        summarizes: Whether reasoning is sent as a summary too.
        has_logprobs: Whether log probabilities are sent.
        namespaces: The namespaces of functions, by name.
    """

    def __init__(
        self,
        response: Response,
        *,
        summarizes: bool = False,
        has_logprobs: bool = False,
        namespaces: Mapping[str, str] | None = None,
    ) -> None:
        self.response = response
        self.frames: list[bytes] | None = None  # None if the client does not read events
        self._reasoning = (REASONING, SUMMARY) if summarizes else (REASONING,)
        self._has_logprobs = has_logprobs
        self._namespaces = namespaces or {}
        self._number = 0
        self._text: OpenText | None = None  # the last text, until something else begins
        self._items: deque[OpenItem] = deque()  # the first is being sent, the others wait for its end
        self._calls: dict[int, OpenItem] = {}
        self._native_items: dict[object, NativeItem] = {}  # the service's own items, by id

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
                self._send("keepalive", event=event)  # the one type that all clients skip; openai-node fails by others
            case ChoiceDelta(0, delta, _, extra):
                self._add_delta(delta, (extra.get("logprobs") or {}).get("content") or [])

    def continue_text(self, piece: str) -> bool:
        """Add a text if the one before it goes on, or return False."""
        if self._text is None or self._text.kind is not TEXT:
            return False
        self._send_piece(self._text, piece)
        return True

    def add_native(self, event: Json) -> None:
        """Add an event of the service's own: it gets a new number, and its item a place in the output."""
        self.begin()
        name, native = event["type"], self._native_items.get(event.get("item_id"))
        if name in ("response.output_item.added", "response.output_item.done"):
            self._add_native_item(event["item"], is_done=name == "response.output_item.done")
            return
        fields = {key: value for key, value in event.items() if key not in ("type", "sequence_number")}
        if name in ("response.output_text.delta", "response.output_text.done"):
            fields["logprobs"] = fields.get("logprobs") or []
        if native is not None:
            fields["output_index"] = native.position
            if name == "response.function_call_arguments.done":
                fields["name"] = native.item.get("name")
            if not native.is_done:
                native.add(event)
        self._send(name, **fields)

    def knows(self, item: Json) -> bool:
        """Return whether an item of a service's whole response is in the output already."""
        if self._native_items:
            return item.get("id") in self._native_items
        return bool(self.response.output)

    def complete(self, finish_reason: str, usage: ResponseUsage) -> None:
        """End the response: completed, or incomplete if the finish reason says so."""
        self.begin()
        response = self.response
        response.usage, response.incomplete_details = usage, INCOMPLETE.get(finish_reason)
        response.status = "incomplete" if response.incomplete_details else "completed"
        response.completed_at = None if response.incomplete_details else int(time())
        self._end_items(response.status)

    def send_end(self) -> None:
        """Send the last event, which holds the response."""
        self._send(f"response.{self.response.status}", response=self.response)

    def fail(self, error: CompletionError) -> None:
        """End the response by an error; its output so far stays, and no item that is cut off is done."""
        self.begin()
        if isinstance(error, ClientDisconnectedError):
            self.response.status = "cancelled"
        else:
            code = ERROR_CODES.get(error.type, "server_error")
            self.response.status, self.response.error = "failed", ResponseError(code=code, message=error.message)
        for item in self._items:
            if item.position < 0:
                self._open(item)
            for text in item.texts:
                text.settle()
            item.item.status = "incomplete"
        for native in self._native_items.values():
            if not native.is_done:
                native.item["status"] = "incomplete"
        self._send("response.failed", response=self.response)

    def end_as(self, response: Json) -> None:
        """End with the event of a response as it was kept."""
        self._send(f"response.{response['status']}", response=response)

    def _send(self, type: str, /, **fields: object) -> None:
        if self.frames is not None:
            self.frames.append(named_frame(type, {"type": type, **fields, "sequence_number": self._number}))
        self._number += 1

    def _add_delta(self, delta: Json, logprobs: list[Json]) -> None:
        reasoning = delta.get("reasoning_content", delta.get("reasoning"))  # a setting sends both
        for kind, content in ((REASONING, reasoning), (TEXT, delta.get("content")), (REFUSAL, delta.get("refusal"))):
            for field, text in _texts(content):
                self._add_text(REFUSAL if field == "refusal" else kind, text, logprobs if kind is TEXT else ())
                logprobs = logprobs if kind is not TEXT else []
        for call in delta.get("tool_calls") or ():
            self._add_call(call)
        last = self._items[-1].texts[-1:] if self._items else []
        if last and last[0].kind is TEXT:
            self._add_to_text(last[0], logprobs, delta.get("annotations") or ())

    def _add_to_text(self, text: OpenText, logprobs: Sequence[Json], annotations: Sequence[Json]) -> None:
        """Add log probabilities that came after their text, and annotations, which a chat nests."""
        part: Any = text.holder
        if self._has_logprobs:
            part.logprobs = [*part.logprobs, *logprobs]
        for nested in annotations:
            annotation = {"type": nested["type"], **nested.get(nested["type"], nested)}
            place = {**text.place, "annotation_index": len(part.annotations)}
            part.annotations = [*part.annotations, annotation]
            self._send("response.output_text.annotation.added", **place, annotation=annotation)

    def _add_text(self, kind: TextKind, piece: str, logprobs: Sequence[Json] = ()) -> None:
        item = self._items[-1] if self._items else None
        if item is None or item.type is not kind.item:
            item = self._begin_item(kind.item)
        for each in self._reasoning if kind is REASONING else (kind,):
            self._add_piece(item, each, piece, logprobs)

    def _add_call(self, call: Json) -> None:
        item = self._calls.get(call["index"])
        called = call.get("function") or call.get("custom") or {}
        name = called.get("name") or ""
        if item is None:
            is_custom, fields = call["type"] == "custom", {"call_id": call["id"], "name": name}
            if not is_custom and name in self._namespaces:
                fields["namespace"] = self._namespaces[name]
            item = self._begin_item(CustomToolCall if is_custom else FunctionToolCall, **fields)
            self._calls[call["index"]] = item
        elif item.item.status != "in_progress":
            return  # its arguments were whole
        elif name and isinstance(item.item, FunctionToolCall | CustomToolCall):
            item.item.name += name
        kind = INPUT if item.type is CustomToolCall else ARGUMENTS
        if piece := called.get(kind.field):
            self._add_piece(item, kind, piece)
            self._send_waiting_items()

    def _add_piece(self, item: OpenItem, kind: TextKind, piece: str, logprobs: Sequence[Json] = ()) -> None:
        if item.position < 0:
            item.waiting.append((kind, piece, logprobs))
            return
        text = item.text_of(kind)
        if text is None:
            text = self._begin_text(item, kind)
        if logprobs and self._has_logprobs:
            text.pieces.append(piece)
            self._add_to_text(text, logprobs, ())
            self._send(f"response.{kind.event}.delta", **text.place, delta=piece, logprobs=logprobs)
        else:
            self._send_piece(text, piece)

    def _send_piece(self, text: OpenText, piece: str) -> None:
        text.pieces.append(piece)
        if self.frames is not None:
            self.frames.append(b'%b%d,"delta":%b}\n\n' % (text.delta_head, self._number, encode_text(piece)))
        self._number += 1

    def _begin_text(self, item: OpenItem, kind: TextKind) -> OpenText:
        if item.type is OutputMessage:  # the parts of a message follow each other
            self._end_texts(item)
        text = OpenText(kind, item.item, item.position)
        item.texts.append(text)
        self._text = text if self._items and item is self._items[-1] else None
        if kind.part is not None:
            self._send(f"response.{kind.part_event}.added", **text.place, part=text.holder)
        return text

    def _begin_item(self, type: type[OutputItem], **fields: Any) -> OpenItem:
        self._end_native_items()
        self._text = None
        item = OpenItem(type, type(status="in_progress", **fields))
        self._items.append(item)
        self._send_waiting_items()
        return item

    def _send_waiting_items(self) -> None:
        """Go on to the items that wait, as far as those before them have ended."""
        while len(self._items) > 1 and self._items[0].has_ended():
            self._end_item(self._items.popleft(), "completed")
            self._open(self._items[0])
        if self._items[0].position < 0:
            self._open(self._items[0])

    def _open(self, item: OpenItem) -> None:
        output, item.position = self.response.output, len(self.response.output)
        item.item.id = output_item_id(str(item.type.__struct_config__.tag), self.response.id, item.position)
        output.append(item.item)
        self._send("response.output_item.added", output_index=item.position, item=item.item)
        for kind, piece, logprobs in item.waiting:
            self._add_piece(item, kind, piece, logprobs)

    def _end_items(self, status: Status) -> None:
        """End all items; the last has this status."""
        self._end_native_items()
        while self._items:
            item = self._items.popleft()
            if item.position < 0:
                self._open(item)
            self._end_item(item, "completed" if self._items else status)

    def _end_texts(self, item: OpenItem) -> None:
        for text in item.texts:
            kind = text.kind
            whole: Json = {kind.field: text.settle()}
            if isinstance(text.holder, OutputText):
                whole["logprobs"] = text.holder.logprobs
            if isinstance(text.holder, FunctionToolCall):
                whole["name"] = text.holder.name
            self._send(f"response.{kind.event}.done", **text.place, **whole)
            if kind.part is not None:
                self._send(f"response.{kind.part_event}.done", **text.place, part=text.holder)
        item.texts = []

    def _end_item(self, item: OpenItem, status: Status) -> None:
        """Send the events that end an item, which has been taken from those that are open."""
        if item.type in (FunctionToolCall, CustomToolCall) and not item.texts:
            self._begin_text(item, INPUT if item.type is CustomToolCall else ARGUMENTS)
        self._end_texts(item)
        self._text = None
        item.item.status = status
        self._send("response.output_item.done", output_index=item.position, item=item.item)

    def _add_native_item(self, item: Json, *, is_done: bool) -> None:
        encode(item)  # if that fails, it must do so before `response.failed` would contain the item
        output: list[Any] = self.response.output  # annotated with our own items, for the API's documentation
        native = self._native_items.get(item["id"])
        if native is None:
            self._end_items("completed")
            native = self._native_items[item["id"]] = NativeItem(len(output), deepcopy(item))
            output.append(native.item)
            self._send("response.output_item.added", output_index=native.position, item=item)
        if is_done and not native.is_done:
            native.is_done, native.item = True, item
            output[native.position] = item
            self._send("response.output_item.done", output_index=native.position, item=item)

    def _end_native_items(self) -> None:
        """End the service's own items that it has not ended."""
        for native in self._native_items.values():
            if not native.is_done:
                native.is_done = True
                if "status" in native.item:
                    native.item["status"] = "completed"
                self._send("response.output_item.done", output_index=native.position, item=native.item)


def _texts(content: object) -> list[tuple[str, str]]:
    """Return the texts of a string or a list of parts, each after the name of its field."""
    if isinstance(content, str):
        return [("text", content)] if content else []
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return [(name, part[name]) for part in parts for name in ("text", "refusal") if isinstance(part.get(name), str)]
