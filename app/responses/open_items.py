"""Items of a response that have begun and not ended, and the kinds of text in them."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from app.engine.frames import named_frame
from schemas.chat import Json
from schemas.responses import (
    CustomToolCall,
    FunctionToolCall,
    OutputItem,
    OutputMessage,
    OutputRefusal,
    OutputText,
    ReasoningItem,
    ReasoningText,
    SummaryText,
)


class TextKind(Struct, frozen=True):
    """Kind of text in a response: the item that holds it, or the part of an item, and the names in its events."""

    item: type[OutputItem]
    field: str  # of the item or the part
    event: str
    part: type[OutputText | OutputRefusal | ReasoningText | SummaryText] | None = None
    part_event: str = "content_part"
    parts: str = "content"  # the item's field that lists its parts
    more: Json = {}  # further fields of the text's deltas


TEXT = TextKind(OutputMessage, "text", "output_text", OutputText, more={"logprobs": []})
REFUSAL = TextKind(OutputMessage, "refusal", "refusal", OutputRefusal)
REASONING = TextKind(ReasoningItem, "text", "reasoning_text", ReasoningText)
SUMMARY = TextKind(ReasoningItem, "text", "reasoning_summary_text", SummaryText, "reasoning_summary_part", "summary")
ARGUMENTS = TextKind(FunctionToolCall, "arguments", "function_call_arguments")
INPUT = TextKind(CustomToolCall, "input", "custom_tool_call_input")
KINDS = (TEXT, REFUSAL, REASONING, SUMMARY, ARGUMENTS, INPUT)
BY_DELTA = {f"response.{kind.event}.delta": kind for kind in KINDS}


class OpenItem:
    """Item that has not ended; its pieces wait until its turn has come."""

    def __init__(self, type: type[OutputItem], item: OutputItem) -> None:
        self.type = type
        self.item = item
        self.position = -1  # in the output, when its turn has come
        self.waiting: list[tuple[TextKind, str, Sequence[Json]]] = []
        self.texts: list[OpenText] = []

    def has_ended(self) -> bool:
        """Return whether nothing can follow, if another item has begun: a call ends with its whole arguments."""
        if self.type is CustomToolCall:
            return False
        if self.type is not FunctionToolCall:
            return True
        if not self.texts or not self.texts[0].pieces[-1].rstrip().endswith("}"):
            return False
        try:
            msgspec.json.decode("".join(self.texts[0].pieces), type=dict)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return False
        return True

    def text_of(self, kind: TextKind) -> "OpenText | None":
        """Return the open text of a kind."""
        for text in self.texts:
            if text.kind is kind:
                return text
        return None


class NativeItem(Struct):
    """Item of a service's own, as far as its events have told."""

    position: int
    item: Json
    is_done: bool = False

    def add(self, event: Json) -> None:
        """Add what an event tells."""
        match event:
            case {"type": "response.content_part.added" | "response.content_part.done", "content_index": int(index)}:
                self._set_part("content", index, event["part"])
            case {"type": str(type), "summary_index": int(index), "part": part} if "summary_part" in type:
                self._set_part("summary", index, part)
            case {"type": str(type), "delta": str(delta)} if type in BY_DELTA:
                kind = BY_DELTA[type]
                holder = self._part(kind, event[f"{kind.parts}_index"]) if kind.part else self.item
                holder[kind.field] = (holder.get(kind.field) or "") + delta

    def _part(self, kind: TextKind, index: int) -> Json:
        if index >= len(self.item.get(kind.parts) or ()):
            self._set_part(kind.parts, index, msgspec.to_builtins(kind.part and kind.part()))
        part: Json = self.item[kind.parts][index]
        return part

    def _set_part(self, parts: str, index: int, part: Json) -> None:
        known = self.item.get(parts) or []
        self.item[parts] = [*known[:index], {**part}, *known[index + 1 :]]


class OpenText:
    """Text whose end has not come yet."""

    def __init__(self, kind: TextKind, item: OutputItem, position: int) -> None:
        self.kind = kind
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
