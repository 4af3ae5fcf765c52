"""Ids of responses and of their items."""

from secrets import token_hex

LENGTH = 32  # hexadecimal digits of a response's id
PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "function_call_output": "fco",
    "custom_tool_call_output": "ctco",
    "compaction": "cmp",
}


def new_response_id() -> str:
    """Return an id for a response."""
    return f"resp_{token_hex(LENGTH // 2)}"


def new_item_id(type: str) -> str:
    """Return an id for an item that came without one."""
    return f"{PREFIXES.get(type, 'item')}_{token_hex(LENGTH // 2)}"


def output_item_id(type: str, response_id: str, position: int) -> str:
    """Return the id of an item of a response. It contains the response's, so that a reference can be followed."""
    return f"{PREFIXES[type]}_{response_id.partition('_')[2]}{position:04x}"


def response_id_of(item_id: str) -> str:
    """Return the id of the response that an output item belongs to."""
    return f"resp_{item_id.partition('_')[2][:LENGTH]}"
