"""Translation of the items of a conversation into the messages of a chat."""

from base64 import urlsafe_b64decode
from typing import Any

import msgspec

from app.engine.items import set_fields
from app.errors import clipped
from schemas.chat import PART_FIELDS, Json

Content = str | list[Json] | None

SUMMARY = "Summary of the conversation so far:\n\n"  # before the text of a compacted conversation


class Conversation:
    """Messages of a chat. The reasoning, text and tool calls of one assistant turn form one message."""

    def __init__(self, instructions: str | None) -> None:
        self.messages: list[Json] = [{"role": "system", "content": instructions}] if instructions else []
        self._reasoning = ""  # of the assistant message that follows
        self._called: set[str] = set()  # ids of calls

    def add(self, item: Json) -> bool:
        """Add an item and return True, or return False if a chat has no message for it.

        Raises:
            KeyError: A field is missing.
            ValueError, msgspec.ValidationError: A field has the wrong type.
        """
        match item["type"]:
            case "message" if _required(item, "role") == "assistant":
                message = self._assistant_message(new_after_text=True)
                message["content"] = _joined(message["content"], _translated(item.get("content")))
            case "message":
                self._add_message(item["role"], _required(item, "content"))
            case "function_call":
                self._add_call(item, "function", "arguments")
            case "custom_tool_call":
                self._add_call(item, "custom", "input")
            case "function_call_output" | "custom_tool_call_output":
                if (call_id := _required(item, "call_id")) not in self._called:
                    raise ValueError(f"No tool call found for the output with call_id '{clipped(str(call_id))}'")
                self._add_message("tool", _required(item, "output"), tool_call_id=call_id)
            case "reasoning":
                self._reasoning += _text(item.get("content")) or _text(item.get("summary"))
            case "compaction":
                self._add_message("user", _summary(item))
            case _:
                return False
        return True

    def _add_message(self, role: str, content: Content | Json, **fields: str) -> None:
        if isinstance(content, dict) or (not content and content != ""):
            raise ValueError("What a message or a function says must be text, or a list of parts")
        self._reasoning = ""  # of a turn that was cut off
        self.messages.append({"role": role, **fields, "content": _translated(content)})

    def _add_call(self, item: Json, type: str, argument: str) -> None:
        called = {"name": _required(item, "name"), argument: _required(item, argument)}
        if not isinstance(item[argument], str):
            raise ValueError(f"The {argument} of a call must be a string")
        call = {"id": _required(item, "call_id"), "type": type, type: called}
        self._called.add(call["id"])
        self._assistant_message(new_after_text=False).setdefault("tool_calls", []).append(call)

    def _assistant_message(self, *, new_after_text: bool) -> Json:
        """Return the last message if the assistant's turn goes on, else a new one."""
        last = self.messages[-1] if self.messages else {}
        has_ended = new_after_text and last.get("content") and "tool_calls" not in last
        if last.get("role") != "assistant" or has_ended:
            last = {"role": "assistant", "content": None}
            self.messages.append(last)
        if self._reasoning:
            last["reasoning_content"] = last.get("reasoning_content", "") + self._reasoning
            self._reasoning = ""
        return last


def _translated(content: Content) -> Content:
    match content:
        case [{"type": "input_text" | "output_text" | "text", "text": str(text)}]:
            return text  # most services expect a string where there is nothing but text
        case list():
            return [_part(part) for part in content]
    return content


def _part(part: Json) -> Json:
    match part["type"]:
        case "input_text" | "output_text":
            return {"type": "text", "text": _required(part, "text")}
        case "input_image":
            if not isinstance(url := part.get("image_url"), str):
                raise ValueError("An image must come as an 'image_url'")
            return {"type": "image_url", "image_url": {"url": url, "detail": part.get("detail") or "auto"}}
        case "input_file":
            return {"type": "file", "file": set_fields(part, ("type",))}
        case name if name in PART_FIELDS:
            msgspec.convert(part[name], PART_FIELDS[name])
    return set_fields(part)


def _summary(item: Json) -> str:
    """Return the text that stands for what was compacted.

    Raises:
        ValueError: The item was not made here.
    """
    try:
        return SUMMARY + urlsafe_b64decode(item.get("encrypted_content") or "").decode()
    except (TypeError, ValueError):
        raise ValueError("This 'encrypted_content' was not made by this server") from None


def _required(item: Json, name: str) -> Any:
    """Return a field, or raise a KeyError if it is missing or null."""
    if item.get(name) is None:
        raise KeyError(name)
    return item[name]


def _text(content: Content) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content or ())


def _joined(first: Content, second: Content) -> Content:
    if not first or not second:
        return second or first
    if isinstance(first, str) and isinstance(second, str):
        return first + second
    return [*_parts(first), *_parts(second)]


def _parts(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
