"""Items of a response while their events come, and the kinds of text in them."""

from functools import cached_property

import msgspec
from msgspec import Struct

from app.engine.frames import encode, named_frame
from app.engine.items import set_fields
from schemas import responses
from schemas.chat import Json


class TextKind(Struct, frozen=True):
    """Kind of text in a response: where it is, and the names in its events."""

    item: type[responses.OutputItem]
    field: str  # of the item, or of a part of it
    event: str
    part: type[Struct] | None = None
    part_event: str = "content_part"
    parts: str = "content"  # the field of the item that lists its parts
    repeats: str = ""  # another field that the last event of the text repeats


TEXT = TextKind(responses.OutputMessage, "text", "output_text", responses.OutputText, repeats="logprobs")
REFUSAL = TextKind(responses.OutputMessage, "refusal", "refusal", responses.OutputRefusal)
REASONING = TextKind(responses.ReasoningItem, "text", "reasoning_text", responses.ReasoningText)
_SUMMARY_EVENTS = ("reasoning_summary_text", responses.SummaryText, "reasoning_summary_part")
SUMMARY = TextKind(responses.ReasoningItem, "text", *_SUMMARY_EVENTS, parts="summary")
ARGUMENTS = TextKind(responses.FunctionToolCall, "arguments", "function_call_arguments", repeats="name")
INPUT = TextKind(responses.CustomToolCall, "input", "custom_tool_call_input")

STEPS = ("delta", "done")
PARTS = {"output_text": TEXT, "refusal": REFUSAL, "reasoning_text": REASONING, "summary_text": SUMMARY}  # by type
CALLS = {"function_call": ARGUMENTS, "custom_tool_call": INPUT}  # by the type of the item
KINDS = {f"response.{kind.event}.{step}": kind for kind in [*PARTS.values(), *CALLS.values()] for step in STEPS}
ANNOTATION = "response.output_text.annotation.added"
KINDS[ANNOTATION] = TEXT


class OpenText(Struct, dict=True):
    """Text of an item, as far as its events have told."""

    kind: TextKind
    holder: Json  # the item, or the part of one, that has the text
    place: Json  # the fields of its events that say where that is
    pieces: list[str]
    ends: list[str]  # the types of the events that must still come

    @cached_property
    def delta_format(self) -> bytes:
        """The frame of a piece of a message, but for its number and the piece."""
        event = {"type": f"response.{self.kind.event}.delta", **self.place, "logprobs": []}
        frame = named_frame(event["type"], event).removesuffix(b"}\n\n").replace(b"%", b"%%")
        return frame + b',"sequence_number":%d,"delta":%b}\n\n'

    def settle(self) -> Json:
        """Set the field that holds the text, and return the fields of the event that ends it."""
        self.holder[self.kind.field] = "".join(self.pieces)
        return {name: self.holder.get(name) for name in (self.kind.field, self.kind.repeats) if name}

    def add(self, event: Json) -> Json:
        """Add what an event tells, and return the event as it is sent."""
        name, fields = event["type"], event | self.place
        self.ends = [end for end in self.ends if end != name]
        if name == ANNOTATION:
            self.holder["annotations"].append(event["annotation"])
            return fields | {"annotation_index": len(self.holder["annotations"]) - 1}
        if name.endswith(".delta"):
            self.pieces.append(str(event.get("delta") or ""))
            if self.kind is TEXT:
                fields["logprobs"] = event.get("logprobs") or []
                self.holder["logprobs"] += fields["logprobs"]
            return fields
        if name.endswith("part.done"):
            self.holder |= event.get("part", {})
            return fields | {"part": self.holder}
        self.pieces = [str(event.get(self.kind.field) or "".join(self.pieces))]
        return fields | self.settle()


class OpenItem(Struct, eq=False):
    """Item of a response; its events wait until its turn has come."""

    item: Json
    kind: TextKind | None = None  # of the text that a chat has begun it with; None if it is the service's own
    has_ended: bool = False  # as far as the service says
    whole: Json | None = None  # as the service has ended it
    place: Json = {}  # the fields of its events that say where it is, when its turn has come
    waiting: list[Json] = []
    texts: list[OpenText] = []

    def may_end(self) -> bool:
        """Return whether nothing should follow when something else has begun: a call has its whole arguments."""
        if self.has_ended or self.kind in (None, INPUT):
            return self.has_ended
        if self.kind is not ARGUMENTS:
            return True
        pieces = self.texts[0].pieces
        return pieces[-1].rstrip().endswith("}") and _is_object("".join(pieces))

    def set_status(self, status: responses.Status) -> None:
        """Set the status, if items of this type have one."""
        if "status" in self.item:
            self.item["status"] = status

    def text(self, kind: TextKind) -> OpenText | None:
        """Return the text of a kind that has not ended."""
        return next((text for text in self.texts if text.kind is kind and text.ends), None)

    def begin_text(self, kind: TextKind, event: Json) -> OpenText:
        """Begin a text in the item, or in a part of it: one that an event holds or names by its index, or a new one."""
        holder, place = self.item, self.place
        if kind.part is not None:
            parts, name = self.item.get(kind.parts) or [], f"{kind.parts}_index"
            index = event.get(name, len(parts))
            known = event.get("part") or (*parts[index:], {})[0]
            holder = msgspec.to_builtins(kind.part()) | set_fields(known)
            self.item[kind.parts] = [*parts[:index], holder, *parts[index + 1 :]]
            place = place | {name: index}
        text = OpenText(kind, holder, place, [str(holder.get(kind.field) or "")], [f"response.{kind.event}.done"])
        self.texts.append(text)
        return text


def copy_of(value: object) -> Json:
    """Return a copy as JSON has it. What cannot be encoded fails here, before the response holds it."""
    copy: Json = msgspec.json.decode(encode(value))
    return copy


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except msgspec.DecodeError:
        return False
