"""Translation of a request for a response into a request for a chat completion."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from msgspec import UNSET, ValidationError

from app.errors import InvalidRequestError
from app.responses.conversation import Conversation
from app.responses.ids import new_item_id
from schemas.chat import Json
from schemas.responses import ResponseRequest

current_request: ContextVar[Json | None] = ContextVar("current_request", default=None)

NOT_SERVED = ("background", "conversation", "prompt")
NOT_IN_A_CHAT = frozenset(
    {
        *("input", "instructions", "previous_response_id", "store", "include", "truncation", "max_tool_calls"),
        *("stream_options", "max_output_tokens", "text", "reasoning", "tools", "tool_choice", *NOT_SERVED),
    }
)
HOSTED = ("_call", "_call_output")  # endings of the types of items that belong to the server's own tools


def responses_request() -> Json | None:
    """Return the request for a response that is being answered, as the client sent it; None in a chat."""
    return current_request.get()


def count_items(request: ResponseRequest) -> int:
    """Return the number of items of a request."""
    return len(request.input) if isinstance(request.input, list) else 1


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
            if not conversation.add(item) and not item["type"].endswith(HOSTED):
                raise ValueError(f"An item of the type '{item['type']}' is not served here")
    if not conversation.messages:
        raise InvalidRequestError("There is no message in the input.", param="input")
    return conversation.messages


def _long_form(item: Mapping[str, Any]) -> Json:
    item = {"type": "message", **item} if "role" in item else {**item}
    item["id"] = item.get("id") or new_item_id(item.get("type", ""))
    if item.get("type") == "message" and isinstance(item.get("content"), str):
        is_output = item.get("role") == "assistant"
        part = {"type": "output_text", "annotations": []} if is_output else {"type": "input_text"}
        item |= {"status": "completed", "content": [{**part, "text": item["content"]}]}
    return item


def _chat_parameters(sent: Json) -> Json:
    """Return the parameters that have another name or another form in a chat."""
    text, tools = sent.get("text") or {}, sent.get("tools")
    parameters = {
        "max_completion_tokens": sent.get("max_output_tokens"),
        "reasoning_effort": (sent.get("reasoning") or {}).get("effort") or None,
        "verbosity": text.get("verbosity") or None,
        "response_format": _response_format(text.get("format")),
        "tool_choice": _tool_choice(sent.get("tool_choice")),
        "tools": tools and [_nested(tool, f"tools[{position}]") for position, tool in enumerate(tools)],
    }
    return {name: value for name, value in parameters.items() if value is not None}


def _response_format(format: Json | None) -> Json | None:
    match format:
        case {"type": "json_schema", **schema}:
            return {"type": "json_schema", "json_schema": schema}
        case {"type": str(type)} if type != "text":
            return format
    return None


def _tool_choice(choice: Any) -> Any:
    match choice:
        case {"type": "allowed_tools", "tools": list(tools)}:
            allowed = {"mode": choice.get("mode") or "auto", "tools": [_nested(tool, "tool_choice") for tool in tools]}
            return {"type": "allowed_tools", "allowed_tools": allowed}
    return _nested(choice, "tool_choice")


def _nested(tool: Any, place: str) -> Any:
    """Return a function or a custom tool in the nested form of a chat, and another tool as it is."""
    match tool:
        case {"type": "function" | "custom" as type, **fields} if type not in tool:
            if "name" not in fields:
                raise _missing(f"{place}.name")
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
