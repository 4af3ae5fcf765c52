"""Translation of a request for a response into a request for a chat completion."""

import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, ValidationError

from app.engine.items import set_fields
from app.errors import CompletionError, InvalidRequestError, clipped
from app.responses.conversation import Conversation
from app.responses.ids import new_item_id
from app.services import Body, Messages
from schemas.chat import Json
from schemas.responses import Response, ResponseRequest

logger = logging.getLogger("app.responses")

TokenCounter: TypeAlias = Callable[[str, Messages, Body], int | Awaitable[int]]

current_request: ContextVar[Json | None] = ContextVar("current_request", default=None)

NOT_SERVED = ("conversation", "prompt")
NOT_IN_A_CHAT = frozenset(
    {
        *("input", "instructions", "previous_response_id", "store", "include", "truncation", "max_tool_calls"),
        *("background", "generate", "type", "stream_id"),
        *("stream_options", "max_output_tokens", "text", "reasoning", "tools", "tool_choice", *NOT_SERVED),
    }
)
NAMES = {  # of parameters, by their names in a chat
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "response_format": "text.format",
}
LOGPROBS = "message.output_text.logprobs"  # of `include`
ECHOED = {*ResponseRequest.__struct_fields__} & {*Response.__struct_fields__} - {"model", "store"}
WITH_STATUS = ("message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output")
IN_A_CHAT = ("function", "custom")  # types of tools


def responses_request() -> Json | None:
    """Return the request for a response that is being answered, as the client sent it; None in a chat."""
    return current_request.get()


def count_items(request: ResponseRequest) -> int:
    """Return the number of items of a request."""
    return len(request.input) if isinstance(request.input, list) else 1


def echo_of(request: ResponseRequest) -> Json:
    """Return the fields of a response that repeat its request, as a copy."""
    sent = {name: value for name in ECHOED if (value := getattr(request, name)) is not None and value is not UNSET}
    echo: Json = msgspec.json.decode(msgspec.json.encode(sent))
    if echo.get("service_tier") == "auto":
        del echo["service_tier"]
    echo["text"] = {"format": {"type": "text"}} | set_fields(echo.get("text", {}))
    echo["reasoning"] = {"effort": None, "summary": None} | echo.get("reasoning", {})
    echo["reasoning"]["summary"] = echo["reasoning"].get("summary") or echo["reasoning"].get("generate_summary")
    echo["tools"] = [
        dict.fromkeys(("description", "parameters", "strict")) | tool if tool["type"] == "function" else tool
        for tool in echo.get("tools", ())
    ]
    return echo


def namespaces_of(tools: Sequence[Json]) -> dict[str, str]:
    """Return the namespaces of the functions that are in one, by the names of the functions."""
    spaces = [tool for tool in tools if tool["type"] == "namespace"]
    return {each.get("name", ""): space.get("name", "") for space in spaces for each in space.get("tools") or ()}


def renamed(error: CompletionError) -> CompletionError:
    """Return an error about the chat that a request became as one about the request."""
    first, separator, rest = re.split(r"([.\[]|$)", error.param or "", maxsplit=1)
    if first not in NAMES:
        return error
    param = NAMES[first] + separator + rest
    return InvalidRequestError(error.message.replace(f"'{error.param}'", f"'{param}'"), param=param)


def input_items(request: ResponseRequest) -> list[Json]:
    """Return the items of a request, each in its long form and with an id."""
    if request.input is UNSET and not request.previous_response_id:
        raise _missing("input")
    items = [{"role": "user", "content": request.input}] if isinstance(request.input, str) else request.input
    return [_long_form(item) for item in items or ()]


def to_chat(request: ResponseRequest, history: Sequence[Json], items: Sequence[Json]) -> Json:
    """Return the body of a chat request that asks for the same: to go on from `history` with `items`."""
    sent = request.to_body()
    for name in NOT_SERVED:
        if sent.get(name):
            raise InvalidRequestError(f"'{name}' is not served here. Leave it out.", param=name)
    body = {name: value for name, value in sent.items() if name not in NOT_IN_A_CHAT} | _chat_parameters(sent)
    if LOGPROBS in (request.include or ()):
        body["logprobs"] = True
    if request.stream:
        body["stream_options"] = {"include_usage": True}
    return body | {"messages": _messages(request, history, items)}


def _messages(request: ResponseRequest, history: Sequence[Json], items: Sequence[Json]) -> list[Json]:
    conversation = Conversation(request.instructions or None)
    with _errors_at("previous_response_id"):
        for item in history:
            conversation.add(item)
    for position, item in enumerate(items):
        with _errors_at(f"input[{position}]"):
            if not conversation.add(item):
                logger.info("An item of the type %r is not in the chat that the model gets", clipped(item["type"]))
    if not conversation.messages:
        raise InvalidRequestError("There is no message in the input.", param="input")
    return conversation.messages


def _long_form(item: Mapping[str, Any]) -> Json:
    is_reference = item.get("id") and not set_fields(item, ("id", "type"))
    kind = item.get("type") or ("item_reference" if is_reference else "message")
    long = {**item, "type": kind, "id": item.get("id") or new_item_id(kind)}
    if kind in WITH_STATUS:
        long["status"] = item.get("status") or "completed"
    if kind == "message":
        is_output, content = item.get("role") == "assistant", item.get("content")
        if isinstance(content, str):
            content = [{"type": "output_text" if is_output else "input_text", "text": content}]
        long["content"] = [_long_part(part) for part in content] if content else content
    return long


def _long_part(part: Json) -> Json:
    if part.get("type") != "output_text":
        return part
    return {**part, "annotations": part.get("annotations") or [], "logprobs": part.get("logprobs") or []}


def _chat_parameters(sent: Json) -> Json:
    """Return the parameters that have another name or another form in a chat."""
    text, tools = sent.get("text") or {}, _chat_tools(sent.get("tools") or (), "tools")
    parameters = {
        "max_completion_tokens": sent.get("max_output_tokens"),
        "reasoning_effort": (sent.get("reasoning") or {}).get("effort") or None,
        "verbosity": text.get("verbosity") or None,
        "response_format": _response_format(text.get("format")),
        "tool_choice": _tool_choice(sent.get("tool_choice")) if tools or not sent.get("tools") else None,
        "tools": tools or None,
    }
    return {name: value for name, value in parameters.items() if value is not None}


def _response_format(format: Json | None) -> Json | None:
    match format:
        case {"type": "json_schema", **schema}:
            return {"type": "json_schema", "json_schema": schema}
        case {"type": str(type)} if type != "text":
            return format
    return None


def _chat_tools(tools: Sequence[Json], place: str) -> list[Json]:
    """Return the tools that a chat can hold, those of a namespace among them."""
    chat_tools = []
    for position, tool in enumerate(tools):
        if tool["type"] in IN_A_CHAT:
            chat_tools.append(_nested(tool, f"{place}[{position}]"))
        elif tool["type"] == "namespace":
            chat_tools += _chat_tools(tool.get("tools") or (), f"{place}[{position}].tools")
        else:
            logger.info("A tool of the type %r is not in the chat that the model gets", clipped(tool["type"]))
    return chat_tools


def _tool_choice(choice: Any) -> Any:
    match choice:
        case {"type": "allowed_tools", "tools": list(tools)}:
            if not (allowed := _chat_tools(tools, "tool_choice.tools")):
                return None
            return {"type": "allowed_tools", "allowed_tools": {"mode": choice.get("mode") or "auto", "tools": allowed}}
        case {"type": type} if type not in IN_A_CHAT:
            return None
    return _nested(choice, "tool_choice")


def _nested(tool: Any, place: str) -> Any:
    """Return a function or a custom tool in the nested form of a chat, and another value as it is."""
    match tool:
        case {"type": "function" | "custom" as type, **rest} if type not in tool:
            if not rest.get("name"):
                raise _missing(f"{place}.name")
            fields = set_fields({**tool}, ("type",))
            match fields.get("format"):
                case {"type": "grammar", **grammar} if "grammar" not in grammar:
                    fields["format"] = {"type": "grammar", "grammar": grammar}
            return {"type": type, type: fields}
    return tool


def _missing(param: str) -> InvalidRequestError:
    return InvalidRequestError(f"Missing required parameter: '{param}'.", param=param)


@contextmanager
def _errors_at(place: str) -> Iterator[None]:
    """Raise a KeyError, a ValueError or msgspec's as an error that names the field to the client."""
    try:
        yield
    except KeyError as missing:
        raise _missing(f"{place}.{missing.args[0]}") from None
    except (ValueError, ValidationError) as error:
        raise InvalidRequestError(f"{error}.", param=place) from None
