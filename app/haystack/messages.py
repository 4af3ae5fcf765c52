"""Conversion of OpenAI's messages, tools and parameters to Haystack's.

What Haystack cannot represent raises an InvalidRequestError; its `param` is the message or tool, e.g. `messages[2]`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import msgspec
from haystack.dataclasses import ChatMessage, FileContent, ImageContent, TextContent, ToolCall
from haystack.tools.tool import Tool

from app.errors import InvalidRequestError
from app.services import Body, Messages
from schemas.chat import ChatCompletionRequest

Part: TypeAlias = TextContent | ImageContent | FileContent

NO_PARAMETERS = {"type": "object", "properties": {}}
MALFORMED = (AttributeError, KeyError, RecursionError, TypeError, ValueError)  # raised while reading a wrong form
TOOL_PARAMETERS = frozenset({"tool_choice", "parallel_tool_calls"})
NOT_FOR_GENERATORS = frozenset({"messages", "model", "n", "store", "stream", "tools"})
PARAMETERS = {*ChatCompletionRequest.__struct_fields__, "prediction", "verbosity"} - NOT_FOR_GENERATORS


def to_chat_messages(messages: Messages) -> list[ChatMessage]:
    """Convert a conversation."""
    calls: dict[str, ToolCall] = {}  # by id, which is all that the result of a call repeats
    converted: list[ChatMessage] = []
    for position, message in enumerate(messages):
        with _naming(f"messages[{position}]", verb="read"):
            converted.append(_chat_message(message, calls))
    return converted


def to_tools(body: Body) -> list[Tool]:
    """Convert the tools of a request, which only the client can call."""
    tools: dict[str, Tool] = {}
    for position, tool in enumerate(body.get("tools") or ()):
        with _naming(f"tools[{position}]", verb="use"):
            function = tool["function"]
            name = _string(function, "name")
            if name in tools:
                raise ValueError(f"another tool has the name {name!r}")
            description, parameters = _optional_string(function, "description"), function.get("parameters")
            tools[name] = Tool(name, description or "", parameters or NO_PARAMETERS, function=_of_the_client)
    return [*tools.values()]


def generator_parameters(body: Body) -> dict[str, Any]:
    """Return the inputs `generation_kwargs` and `tools` for a generator: OpenAI's parameters under their names."""
    kwargs = {name: value for name, value in body.items() if name in PARAMETERS and value is not None}
    return {"generation_kwargs": kwargs, "tools": to_tools(body)}


def last_question(messages: list[ChatMessage]) -> str:
    """Return the text of the user's last message."""
    questions = [message for message in messages if message.is_from("user")]
    return "\n".join(questions[-1].texts) if questions else ""


@contextmanager
def _naming(param: str, *, verb: str) -> Iterator[None]:
    """Raise an InvalidRequestError that names the part of the request that is malformed."""
    try:
        yield
    except MALFORMED as error:
        match error:
            case KeyError():
                reason = f"it has no {error}"
            case RecursionError():
                reason = "it is nested too deeply"
            case ValueError():
                reason = str(error).rstrip(".")
            case _:
                reason = "it is not of OpenAI's form"
        raise InvalidRequestError(f"This model cannot {verb} {param}: {reason}.", param=param) from None


def _chat_message(message: Mapping[str, Any], calls: dict[str, ToolCall]) -> ChatMessage:
    match message["role"]:
        case "system" | "developer":
            return ChatMessage.from_system(_text(message), name=_optional_string(message, "name"))
        case "user":
            return ChatMessage.from_user(content_parts=_parts(message), name=_optional_string(message, "name"))
        case "assistant":
            return _assistant_message(message, calls)
        case "tool":
            call_id = _string(message, "tool_call_id")
            origin = calls.get(call_id) or ToolCall(tool_name="", arguments={}, id=call_id)
            return ChatMessage.from_tool(_text(message), origin=origin)
        case role:
            raise ValueError(f"the role {role!r} is not system, developer, user, assistant or tool")


def _assistant_message(message: Mapping[str, Any], calls: dict[str, ToolCall]) -> ChatMessage:
    tool_calls = [_tool_call(call) for call in message.get("tool_calls") or ()]
    calls.update((str(call.id), call) for call in tool_calls)
    text = _text(message) or _optional_string(message, "refusal")
    return ChatMessage.from_assistant(
        text or (None if tool_calls else ""),
        name=_optional_string(message, "name"),
        tool_calls=tool_calls,
        reasoning=_optional_string(message, "reasoning_content") or _optional_string(message, "reasoning"),
    )


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    try:
        arguments = msgspec.json.decode(_optional_string(function, "arguments") or "{}", type=dict[str, Any])
    except msgspec.DecodeError:
        raise ValueError("the arguments of a tool call are no JSON object") from None
    return ToolCall(tool_name=_string(function, "name"), arguments=arguments, id=_string(call, "id"))


def _of_the_client() -> None:
    raise RuntimeError("A tool of the client was called in the server.")


def _text(message: Mapping[str, Any]) -> str:
    parts = _parts(message)
    for part in parts:
        if not isinstance(part, TextContent):
            kind = "an image" if isinstance(part, ImageContent) else "a file"
            raise ValueError(f"a message of the role {message['role']} holds text alone, not {kind}")
    return "\n".join(part.text for part in parts if isinstance(part, TextContent))


def _parts(message: Mapping[str, Any]) -> list[Part]:
    content = message.get("content") or ""
    return [TextContent(content)] if isinstance(content, str) else [_part(part) for part in content]


def _part(part: Mapping[str, Any]) -> Part:
    match part.get("type"):
        case "text" | "refusal" as name:
            return TextContent(_string(part, name))
        case "image_url":
            image = part["image_url"]
            mime_type, data = _split_data_url(_string(image, "url"))
            return ImageContent(data, mime_type, detail=_optional_string(image, "detail"))  # type: ignore[arg-type]  # one of OpenAI's, or newer
        case "file":
            file = part["file"]
            mime_type, data = _split_data_url(_string(file, "file_data"))
            return FileContent(data, mime_type, filename=_optional_string(file, "filename"))
        case kind:
            raise ValueError(f"content of the type {kind!r} is not text, refusal, image_url, file")


def _split_data_url(url: str) -> tuple[str, str]:
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise ValueError("an image or a file must come as a data URL in base64, not by its address")
    return head.removeprefix("data:").removesuffix(";base64"), data


def _string(source: Mapping[str, Any], name: str) -> str:
    if not isinstance(value := source[name], str):
        raise ValueError(f"{name!r} must be a string")
    return value


def _optional_string(source: Mapping[str, Any], name: str) -> str | None:
    return None if source.get(name) is None else _string(source, name)
