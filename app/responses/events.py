"""Events of a response, numbered and in OpenAI's order, and the response that they add up to.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections import deque
from time import time
from typing import Any

import msgspec
from msgspec import Raw

from app.engine.frames import encode, encode_text, named_frame
from app.errors import ClientDisconnectedError, CompletionError
from app.responses.ids import output_item_id
from app.responses.items import KINDS, PARTS, OpenItem, OpenText, TextKind
from schemas.chat import Json
from schemas.responses import ErrorCode, IncompleteDetails, Response, ResponseError, ResponseUsage

ADDED = "response.output_item.added"
DONE = "response.output_item.done"
INCOMPLETE = {  # by the finish reason
    "length": IncompleteDetails(reason="max_output_tokens"),
    "content_filter": IncompleteDetails(reason="content_filter"),
}
ERROR_CODES: dict[str, ErrorCode] = {  # by the type of the error; OpenAI's clients accept no other codes
    "rate_limit_error": "rate_limit_exceeded",
    "invalid_request_error": "invalid_prompt",
}


def error_event(error: CompletionError) -> Json:
    """Return the event of an error, without a number."""
    fields = {"code": error.code, "message": error.message, "param": error.param}
    return {"type": "error", **fields, "error": {"type": error.type, **fields}}


class Events:
    """Adds the events of items to a response, and sends them: each gets a number and becomes a frame.

    Items are sent one after another: the events of one that begins before the end of another wait.
    """

    def __init__(self, response: Response) -> None:
        self.response = response
        self.frames: list[bytes] | None = None  # None if the client does not read events
        self._output: list[Any] = response.output  # annotated with our own items, for the API's documentation
        self._number = 0
        self._items: deque[OpenItem] = deque()  # the first is being sent, the others wait for its end

    @property
    def last(self) -> OpenItem | None:
        """The last item that has not ended."""
        return self._items[-1] if self._items else None

    def begin(self) -> None:
        """Send the first events, once."""
        if self._number == 0 and self.frames is not None:
            encoded = Raw(encode(self.response))  # once for both
            self.send({"type": "response.created", "response": encoded})
            self.send({"type": "response.in_progress", "response": encoded})

    def send(self, event: Json) -> None:
        """Send an event with its number."""
        if self.frames is not None:
            self.frames.append(named_frame(event["type"], event | {"sequence_number": self._number}))
        self._number += 1

    def send_pieces(self, text: OpenText, pieces: list[str]) -> None:
        """Add pieces to the text of a message that is being sent, as most of a response is."""
        text.pieces.append(joined := "".join(pieces))
        if self.frames is not None:
            form, to_json = text.delta_format, msgspec.json.encode if joined.isascii() else encode_text
            self.frames += [form % (number, to_json(piece)) for number, piece in enumerate(pieces, self._number)]
        self._number += len(pieces)

    def begin_item(self, item: OpenItem) -> OpenItem:
        """Begin an item when those before it have ended: the service's own have, if a chat's goes on."""
        for other in self._items:
            other.has_ended |= other.kind is None and item.kind is not None
        self._items.append(item)
        self._go_on()
        return item

    def tell(self, item: OpenItem, event: Json) -> None:
        """Add an event of an item when its turn has come. What comes after the item's end ends it once more."""
        if not item.place:
            item.waiting.append(event)
        elif item in self._items:
            self._apply(item, event)
            self._go_on()
        elif not str(event.get("delta", "-")).isspace():
            self._apply(item, event)
            if "item" in event or "part" in event or event["type"] in KINDS:
                self._end(item)

    def complete(self, finish_reason: str, usage: ResponseUsage) -> None:
        """End the items and the response: completed, or incomplete if the finish reason says so."""
        self.begin()
        response = self.response
        response.usage, response.incomplete_details = usage, INCOMPLETE.get(finish_reason)
        response.status = "incomplete" if response.incomplete_details else "completed"
        response.completed_at = None if response.incomplete_details else int(time())
        for item in self._items:
            item.has_ended = True
        self._go_on()

    def send_end(self) -> None:
        """Send the last event, which holds the response."""
        self.send({"type": f"response.{self.response.status}", "response": self.response})

    def fail(self, error: CompletionError) -> None:
        """End the response by an error; its output so far stays, and no item that is cut off is done."""
        self.begin()
        for item in self._items:
            self._begin(item)
            for text in item.texts:
                text.settle()
            item.set_status("incomplete")
        if isinstance(error, ClientDisconnectedError):
            self.response.status = "cancelled"
        else:
            code = ERROR_CODES.get(error.type, "server_error")
            self.response.status, self.response.error = "failed", ResponseError(code=code, message=error.message)
            self.send(error_event(error))  # some clients see no other failure
        self.send({"type": "response.failed", "response": self.response})

    def _go_on(self) -> None:
        """Send the items that wait, as far as those before them have ended."""
        while self._items:
            first, *others = self._items
            self._begin(first)
            if not (first.may_end() if others else first.has_ended):
                return
            self._end(self._items.popleft())

    def _begin(self, item: OpenItem) -> None:
        """Send the beginning of an item whose turn has come, and the events that have waited."""
        if item.place:
            return
        position = len(self._output)
        item.item["id"] = item.item["id"] or output_item_id(item.item["type"], self.response.id, position)
        item.place = {"item_id": item.item["id"], "output_index": position}
        self._output.append(item.item)
        self.send({"type": ADDED, "output_index": position, "item": item.item})
        if item.kind and not item.kind.part:
            item.begin_text(item.kind, {})
        for event in item.waiting:
            self._apply(item, event)

    def _apply(self, item: OpenItem, event: Json) -> None:
        """Add an event to its item, and send it."""
        kind = PARTS.get(event["part"]["type"]) if "part" in event else KINDS.get(event["type"])
        if "item" in event:
            item.whole, item.has_ended = event["item"], True
        elif kind is None:
            self.send(event | {"output_index": item.place["output_index"]})
        elif "part" in event and event["type"].endswith(".added"):
            self._begin_text(item, kind, event)
        else:
            self.send((item.text(kind) or self._begin_text(item, kind, event)).add(event))

    def _begin_text(self, item: OpenItem, kind: TextKind, event: Json) -> OpenText:
        """Begin a text by an event of its part or, in a service's own item, its first one; end the part before it."""
        for other in item.texts:
            if other.kind.parts == kind.parts:
                self._end_text(other)
        text = item.begin_text(kind, event)
        if kind.part is not None and ("part" in event or item.kind is not None):
            text.ends.append(f"response.{kind.part_event}.done")
            self.send({"type": f"response.{kind.part_event}.added", **text.place, "part": text.holder})
        return text

    def _end_text(self, text: OpenText) -> None:
        for name in text.ends:
            self.send(text.add({"type": name}))

    def _end(self, item: OpenItem) -> None:
        """Send the end of an item; the last is incomplete if the response is."""
        for text in item.texts:
            self._end_text(text)
        item.set_status("incomplete" if self.response.status == "incomplete" and not self._items else "completed")
        position = item.place["output_index"]
        if item.whole is not None:
            self._output[position] = item.item = item.whole
            item.whole, item.texts = None, []
        self.send({"type": DONE, "output_index": position, "item": item.item})
