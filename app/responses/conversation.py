"""The items of a conversation as messages of a chat: `Conversation.add` and `PARTS` say what becomes what."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

__all__ = ["Conversation"]

Json: TypeAlias = dict[str, Any]


class Conversation:
    """The messages of a chat. What an assistant thinks, says and calls in one turn is one message.

    Args:
        instructions: what the system says before all else, if anything.
    """

    def __init__(self, instructions: str | None) -> None:
        self.messages: list[Json] = [{"role": "system", "content": instructions}] if instructions else []
        self._thoughts = ""  # of the assistant's next message

    def add(self, item: Json) -> bool:
        """Add an item; False if a chat has no form of it.

        Raises:
            KeyError: it lacks something, which this names.
            ValueError: something in it is not of its kind.
        """
        match item["type"]:
            case "message" if item["role"] == "assistant":
                turn = self._turn(lambda last: not last["content"] or "tool_calls" in last)
                turn["content"] = _joined(turn["content"], _content(item.get("content")))
            case "message":
                self._say(item["role"], item.get("content"))
            case "function_call":
                self._call(item, "function", "arguments")
            case "custom_tool_call":
                self._call(item, "custom", "input")
            case "function_call_output" | "custom_tool_call_output":
                self._say("tool", item["output"], tool_call_id=item["call_id"])
            case "reasoning":
                self._thoughts += _text_of(item.get("summary")) + _text_of(item.get("content"))
            case _:
                return False
        return True

    def _say(self, role: str, content: Any, **more: str) -> None:
        if isinstance(content, dict):
            raise ValueError("What a function returns must be text, or a list of parts")
        self._thoughts = ""  # of a turn that was cut off
        self.messages.append({"role": role, **more, "content": _content(content)})

    def _call(self, item: Json, kind: str, argument: str) -> None:
        called = {"name": item["name"], argument: item[argument]}
        if not isinstance(item[argument], str):
            raise ValueError(f"The {argument} of a call must be a string")
        call = {"id": item["call_id"], "type": kind, kind: called}
        self._turn(lambda _: True).setdefault("tool_calls", []).append(call)

    def _turn(self, goes_on: Callable[[Json], bool]) -> Json:
        """The assistant's last message if it goes on, else a new one."""
        if not (self.messages and self.messages[-1]["role"] == "assistant" and goes_on(self.messages[-1])):
            self.messages.append({"role": "assistant", "content": None})
        turn = self.messages[-1]
        if self._thoughts:
            turn["reasoning_content"] = turn.get("reasoning_content", "") + self._thoughts
            self._thoughts = ""
        return turn


def _content(content: str | list[Json] | None) -> str | list[Json] | None:
    """Text where there is nothing else, as most services expect it, or the parts."""
    match content:
        case [{"type": "input_text" | "output_text" | "text", "text": str(text)}]:
            return text
        case list():
            return [PARTS.get(part["type"], dict)(part) for part in content]
    return content


def _text_of(content: str | list[Json] | None) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content or ())


def _joined(said: str | list[Json] | None, more: str | list[Json] | None) -> str | list[Json] | None:
    if not said or not more:
        return more or said
    if isinstance(said, str) and isinstance(more, str):
        return said + more
    parts = _parts(said)
    parts.extend(_parts(more))
    return parts


def _parts(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(part: Json) -> Json:
    return {"type": "text", "text": part["text"]}


def _image(part: Json) -> Json:
    if not isinstance(part.get("image_url"), str):
        raise ValueError("An image must come as an 'image_url'")
    return {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part.get("detail") or "auto"}}


def _file(part: Json) -> Json:
    return {"type": "file", "file": {name: value for name, value in part.items() if name != "type"}}


PARTS: Mapping[str, Callable[[Json], Json]] = {  # others pass
    "input_text": _text,
    "output_text": _text,
    "input_image": _image,
    "input_file": _file,
}
