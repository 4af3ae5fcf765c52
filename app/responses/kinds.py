"""The kinds of text that a response is made of, and what their events are called."""

from typing import Any, TypeAlias

from msgspec import Struct

from schemas.responses import (
    CustomToolCall,
    FunctionToolCall,
    OutputItem,
    OutputMessage,
    OutputRefusal,
    OutputText,
    ReasoningItem,
    SummaryText,
)

__all__ = ["ARGUMENTS", "CALLS", "DELTAS", "TEXT", "Kind"]

Json: TypeAlias = dict[str, Any]


class Kind(Struct, frozen=True, kw_only=True):
    """A kind of text that grows: in which item it is, and what its events are called.

    Args:
        item: what the text is in.
        part: the part of that which it is in; None if it is the item's own.
        field: its name there.
        text: what its own events are called,
        about: and those of its part.
        index: how a part is counted.
        more: what its own events carry besides.
    """

    item: type[OutputItem]
    part: type[OutputText | OutputRefusal | SummaryText] | None = None
    field: str
    text: str
    about: str = ""
    index: str = ""
    more: Json = {}


TEXT = Kind(
    item=OutputMessage,
    part=OutputText,
    field="text",
    text="response.output_text",
    about="response.content_part",
    index="content_index",
    more={"logprobs": []},
)
REFUSAL = Kind(
    item=OutputMessage,
    part=OutputRefusal,
    field="refusal",
    text="response.refusal",
    about="response.content_part",
    index="content_index",
)
REASONING = Kind(
    item=ReasoningItem,
    part=SummaryText,
    field="text",
    text="response.reasoning_summary_text",
    about="response.reasoning_summary_part",
    index="summary_index",
)
ARGUMENTS = Kind(item=FunctionToolCall, field="arguments", text="response.function_call_arguments")
INPUT = Kind(item=CustomToolCall, field="input", text="response.custom_tool_call_input")
CALLS = {"function": ARGUMENTS, "custom": INPUT}
DELTAS = (("reasoning_content", REASONING), ("reasoning", REASONING), ("content", TEXT), ("refusal", REFUSAL))
