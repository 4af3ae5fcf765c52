"""OpenAI's messages and tools, as Haystack has them. What Haystack cannot hold is a 400 that names the message."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from haystack.dataclasses import ChatMessage, FileContent, ImageContent, TextContent, ToolCall
from haystack.tools.tool import Tool

from app.errors import InvalidRequestError
from app.services import Body, Messages

__all__ = ["last_text", "to_chat_messages", "to_tools"]

NO_PARAMETERS = {"type": "object", "properties": {}}
UNREADABLE = (AttributeError, KeyError, RecursionError, TypeError, ValueError)  # what a wrong form ends in


def to_chat_messages(messages: Messages) -> list[ChatMessage]:
    """Convert a conversation.

    Raises:
        InvalidRequestError: a message holds what Haystack cannot; `param` names it, e.g. `messages[2]`.
    """
    calls: dict[str, ToolCall] = {}  # by id: a result names no more of its call
    converted: list[ChatMessage] = []
    for position, message in enumerate(messages):
        with _refusing("read", f"messages[{position}]"):
            converted.append(_chat_message(message, calls))
    return converted


def to_tools(body: Body) -> list[Tool]:
    """The client's own tools, which only the client can call.

    Raises:
        InvalidRequestError: a tool is no function, or its parameters are no JSON schema.
    """
    tools: dict[str, Tool] = {}
    for position, tool in enumerate(body.get("tools") or ()):
        with _refusing("use", f"tools[{position}]"):
            made = _tool(tool["function"], taken=tools)
            tools[made.name] = made
    return [*tools.values()]


def last_text(messages: list[ChatMessage]) -> str:
    """What the user said last."""
    spoken = [message for message in messages if message.is_from("user")]
    return "\n".join(spoken[-1].texts) if spoken else ""


@contextmanager
def _refusing(verb: str, where: str) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise InvalidRequestError(f"This model cannot {verb} {where}: {_reason(error)}.", param=where) from None


def _chat_message(message: Mapping[str, Any], calls: dict[str, ToolCall]) -> ChatMessage:
    match message["role"]:
        case "system" | "developer":
            return ChatMessage.from_system(_text(message), name=_string_if_any(message, "name"))
        case "user":
            return ChatMessage.from_user(content_parts=_parts(message), name=_string_if_any(message, "name"))
        case "assistant":
            return _from_assistant(message, calls)
        case "tool":
            call_id = _string(message, "tool_call_id")
            origin = calls.get(call_id) or ToolCall(tool_name="", arguments={}, id=call_id)
            return ChatMessage.from_tool(_text(message), origin=origin)
        case role:
            raise ValueError(f"the role {role!r} is not system, developer, user, assistant or tool")


def _from_assistant(message: Mapping[str, Any], calls: dict[str, ToolCall]) -> ChatMessage:
    tool_calls = [_tool_call(call) for call in message.get("tool_calls") or ()]
    calls.update((str(call.id), call) for call in tool_calls)
    text = _text(message) or _string_if_any(message, "refusal")
    return ChatMessage.from_assistant(
        text or (None if tool_calls else ""),
        name=_string_if_any(message, "name"),
        tool_calls=tool_calls,
        reasoning=_string_if_any(message, "reasoning_content") or _string_if_any(message, "reasoning"),
    )


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    try:
        arguments = msgspec.json.decode(_string_if_any(function, "arguments") or "{}", type=dict[str, Any])
    except msgspec.DecodeError:
        raise ValueError("the arguments of a tool call are no JSON object") from None
    return ToolCall(tool_name=_string(function, "name"), arguments=arguments, id=_string(call, "id"))


def _tool(function: Mapping[str, Any], *, taken: Collection[str]) -> Tool:
    name = _string(function, "name")
    if name in taken:
        raise ValueError(f"another tool has the name {name!r}")
    return Tool(
        name=name,
        description=_string_if_any(function, "description") or "",
        parameters=function.get("parameters") or NO_PARAMETERS,
        function=_of_the_client,
    )


def _of_the_client() -> None:
    raise RuntimeError("A tool of the client was called in the server.")


def _text(message: Mapping[str, Any]) -> str:
    parts = _parts(message)
    if others := [part for part in parts if not isinstance(part, TextContent)]:
        raise ValueError(f"a message of the role {message['role']} holds text alone, not {_name(others[0])}")
    return "\n".join(part.text for part in parts if isinstance(part, TextContent))


def _parts(message: Mapping[str, Any]) -> list[TextContent | ImageContent | FileContent]:
    content = message.get("content") or ""
    if isinstance(content, str):
        return [TextContent(content)]
    return [_part(part) for part in content]


def _part(part: Mapping[str, Any]) -> TextContent | ImageContent | FileContent:
    kind = part.get("type")
    if reader := PARTS.get(str(kind)):
        return reader(part)
    raise ValueError(f"content of the type {kind!r} is not {', '.join(PARTS)}")


def _image(part: Mapping[str, Any]) -> ImageContent:
    image = part["image_url"]
    mime_type, data = _data_of(_string(image, "url"))
    return ImageContent(base64_image=data, mime_type=mime_type, detail=_string_if_any(image, "detail"))  # type: ignore[arg-type]  # one of OpenAI's, or newer


def _file(part: Mapping[str, Any]) -> FileContent:
    file = part["file"]
    mime_type, data = _data_of(_string(file, "file_data"))
    return FileContent(base64_data=data, mime_type=mime_type, filename=_string_if_any(file, "filename"))


def _data_of(url: str) -> tuple[str, str]:
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise ValueError("an image or a file must come as a data URL in base64, not by its address")
    return head.removeprefix("data:").removesuffix(";base64"), data


PARTS: Mapping[str, Callable[[Mapping[str, Any]], TextContent | ImageContent | FileContent]] = {
    "text": lambda part: TextContent(_string(part, "text")),
    "refusal": lambda part: TextContent(_string(part, "refusal")),
    "image_url": _image,
    "file": _file,
}


def _string(holder: Mapping[str, Any], name: str) -> str:
    value = holder[name]
    if not isinstance(value, str):
        raise ValueError(f"{name!r} must be a string")
    return value


def _string_if_any(holder: Mapping[str, Any], name: str) -> str | None:
    return None if holder.get(name) is None else _string(holder, name)


def _name(part: object) -> str:
    return "an image" if isinstance(part, ImageContent) else "a file"


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, ValueError):
        return str(error).rstrip(".")
    return "it is not of OpenAI's form"
