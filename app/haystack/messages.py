"""Conversion of OpenAI's messages and tools to Haystack's.

What Haystack cannot represent raises an InvalidRequestError; its `param` is the message or tool, e.g. `messages[2]`.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import msgspec
from haystack.dataclasses import ChatMessage, FileContent, ImageContent, TextContent, ToolCall
from haystack.tools.tool import Tool

from app.errors import InvalidRequestError
from app.services import Body, Messages

logger = logging.getLogger("app.haystack")

Part: TypeAlias = TextContent | ImageContent | FileContent

NO_PARAMETERS = {"type": "object", "properties": {}}
MALFORMED = (AttributeError, KeyError, RecursionError, TypeError, ValueError)  # raised while reading a wrong form
EXCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}  # true or false in old JSON schemas


def to_chat_messages(messages: Messages) -> list[ChatMessage]:
    """Convert a conversation."""
    calls: dict[str, ToolCall] = {}  # that wait for their results, which repeat their ids alone
    converted: list[ChatMessage] = []
    for position, message in enumerate(messages):
        with _naming(f"messages[{position}]", verb="read"):
            converted.append(_chat_message(message, calls))
    return converted


def to_tools(body: Body) -> list[Tool]:
    """Convert the functions of a request, which only the client can call; tools of other types are left out."""
    tools: dict[str, Tool] = {}
    for position, tool in enumerate(body.get("tools") or ()):
        if tool["type"] != "function":
            logger.info("A tool of the type %.100r is left out: Haystack has none like it", tool["type"])
            continue
        with _naming(f"tools[{position}]", verb="use"):
            function = tool["function"]
            name = _string(function, "name")
            if name in tools:
                raise ValueError(f"another tool has the name {name!r}")
            schema = _current_schema(function.get("parameters") or NO_PARAMETERS)
            tools[name] = Tool(name, _optional_string(function, "description") or "", schema, function=_of_the_client)
    return [*tools.values()]


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
            call_id = _optional_string(message, "tool_call_id") or next(iter(calls), "")
            origin = calls.pop(call_id, None) or _call(call_id, "", {})
            has_media = not all(isinstance(part, TextContent) for part in _parts(message))
            return ChatMessage.from_tool(_parts(message) if has_media else _text(message), origin=origin)
        case role:
            raise ValueError(f"the role {role!r} is not system, developer, user, assistant or tool")


def _assistant_message(message: Mapping[str, Any], calls: dict[str, ToolCall]) -> ChatMessage:
    tool_calls = [
        _tool_call(call, default_id=f"call_{len(calls)}_{position}")
        for position, call in enumerate(message.get("tool_calls") or ())
    ]
    calls.update((str(call.id), call) for call in tool_calls)
    text = _text(message) or _optional_string(message, "refusal")
    return ChatMessage.from_assistant(
        text or (None if tool_calls else ""),
        name=_optional_string(message, "name"),
        tool_calls=tool_calls,
        reasoning=_optional_string(message, "reasoning_content") or _optional_string(message, "reasoning"),
    )


def _tool_call(call: Mapping[str, Any], *, default_id: str) -> ToolCall:
    function = call["function"]
    arguments = function.get("arguments") or {}
    if not isinstance(arguments, dict):
        text = _string(function, "arguments")
        try:
            arguments = msgspec.json.decode(text.strip() or "{}", type=dict[str, Any])
        except msgspec.DecodeError:  # the model wrote it, and may read what it wrote
            arguments = {"malformed": text}
    return _call(_optional_string(call, "id") or default_id, _string(function, "name"), arguments)


def _call(call_id: str, name: str, arguments: dict[str, Any]) -> ToolCall:
    return ToolCall(name, arguments, id=call_id, extra={"call_id": call_id})  # which the Responses API asks for


def _current_schema(schema: Any) -> Any:
    """Return a JSON schema in the form of today, which Haystack checks: older ones have flags and nulls in it."""
    if isinstance(schema, list):
        return [_current_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    fields = {
        name: _current_schema(value)
        for name, value in schema.items()
        if value is not None or name in ("const", "default")
    }
    for exclusive, limit in EXCLUSIVE.items():
        if isinstance(fields.get(exclusive), bool) and fields.pop(exclusive) and limit in fields:
            fields[exclusive] = fields.pop(limit)
    return fields


def _of_the_client() -> None:
    raise RuntimeError("A tool of the client was called in the server.")


def _text(message: Mapping[str, Any]) -> str:
    texts = []
    for part in _parts(message):
        if not isinstance(part, TextContent):
            raise ValueError(f"a message of the role {message['role']} holds text alone, not images or files")
        texts.append(part.text)
    return "\n".join(texts)


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
