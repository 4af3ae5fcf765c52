"""What a request for a response is in a chat: its items as messages, and the parameters under their other names."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from secrets import token_hex
from typing import Any, TypeAlias

from msgspec import UNSET

from app.errors import InvalidRequestError
from app.responses.conversation import Conversation
from schemas.responses import ResponseRequest

__all__ = ["PREFIXES", "current_request", "input_items", "new_item_id", "responses_request", "to_chat"]

Json: TypeAlias = dict[str, Any]

current_request: ContextVar[Json | None] = ContextVar("current_request", default=None)

NOT_SERVED = ("background", "conversation", "prompt")
OF_RESPONSES_ALONE = frozenset(
    {
        *("input", "instructions", "previous_response_id", "store", "include", "truncation", "max_tool_calls"),
        *("stream_options", "max_output_tokens", "text", "reasoning", "tools", "tool_choice", *NOT_SERVED),
    }
)
PREFIXES = {  # of the ids of items
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "function_call_output": "fco",
    "custom_tool_call_output": "ctco",
}
HOSTED = ("_call", "_call_output")  # how the types of items end that tell of the server's own tools


def responses_request() -> Json | None:
    """The request that a model is asked with by the Responses API, as the client sent it; None in a chat."""
    return current_request.get()


def input_items(request: ResponseRequest) -> list[Json]:
    """The items of a request, each in its long form and with an id.

    Raises:
        InvalidRequestError: there are none, and no response before it that it may go on from.
    """
    if request.input is UNSET and not request.previous_response_id:
        raise InvalidRequestError("Missing required parameter: 'input'.", param="input")
    if isinstance(request.input, str):
        return [_long_form({"role": "user", "content": request.input})]
    return [_long_form(item) for item in request.input or ()]


def to_chat(request: ResponseRequest, history: Sequence[Json], items: Sequence[Json]) -> Json:
    """The body of a request for a chat completion that asks for the same.

    Args:
        request: what was asked.
        history: the items that come before those of the request.
        items: those of the request.

    Raises:
        InvalidRequestError: it asks for what this server does not do, or an item lacks something.
    """
    sent = request.to_body()
    for name in NOT_SERVED:
        if sent.get(name):
            raise InvalidRequestError(f"'{name}' is not served here. Leave it out.", param=name)
    body = {name: value for name, value in sent.items() if name not in OF_RESPONSES_ALONE}
    for name, translate in _PARAMETERS.items():
        if sent.get(name) is not None:
            body |= translate(sent[name])
    if request.stream:
        body["stream_options"] = {"include_usage": True}
    return body | {"messages": _messages(request, history, items)}


def _messages(request: ResponseRequest, history: Sequence[Json], items: Sequence[Json]) -> list[Json]:
    conversation = Conversation(request.instructions or None)
    with _naming("previous_response_id"):
        for item in history:
            conversation.add(item)
    for position, item in enumerate(items):
        with _naming(f"input[{position}]"):
            if not conversation.add(item) and not item["type"].endswith(HOSTED):
                raise ValueError(f"An item of the type '{item['type']}' is not served here")
    if not conversation.messages:
        raise InvalidRequestError("There is no message in the input.", param="input")
    return conversation.messages


def _tools(tools: list[Json]) -> Json:
    nested = []
    for position, tool in enumerate(tools):
        with _naming(f"tools[{position}]"):
            nested.append(_nested(tool))
    return {"tools": nested}


def _tool_choice(choice: Any) -> Json:
    with _naming("tool_choice"):
        match choice:
            case {"type": "allowed_tools", "tools": list(tools)}:
                allowed = {"mode": choice.get("mode") or "auto", "tools": [_nested(tool) for tool in tools]}
                return {"tool_choice": {"type": "allowed_tools", "allowed_tools": allowed}}
            case dict():
                return {"tool_choice": _nested(choice)}
    return {"tool_choice": choice}


def _nested(tool: Any) -> Any:
    """A function or a custom tool as a chat has it; a tool of the server's own passes."""
    match tool:
        case {"type": "function" | "custom" as kind, **rest} if kind not in tool:
            if "name" not in rest:
                raise KeyError("name")
            return {"type": kind, kind: rest | _nested_grammar(rest.get("format"))}
    return tool


def _nested_grammar(form: Any) -> Json:
    match form:
        case {"type": "grammar", **grammar} if "grammar" not in form:
            return {"format": {"type": "grammar", "grammar": grammar}}
    return {}


def _text_options(text: Json) -> Json:
    options: Json = {"verbosity": text["verbosity"]} if text.get("verbosity") else {}
    match text.get("format"):
        case {"type": "json_schema", **rest}:
            options["response_format"] = {"type": "json_schema", "json_schema": rest}
        case {"type": str(kind)} as other if kind != "text":
            options["response_format"] = other
    return options


_PARAMETERS: Mapping[str, Callable[[Any], Json]] = {
    "max_output_tokens": lambda limit: {"max_completion_tokens": limit},
    "reasoning": lambda reasoning: {"reasoning_effort": reasoning["effort"]} if reasoning.get("effort") else {},
    "text": _text_options,
    "tool_choice": _tool_choice,
    "tools": _tools,
}


def new_item_id(kind: str) -> str:
    """An id for an item of this type that came without one."""
    return f"{PREFIXES.get(kind, 'item')}_{token_hex(16)}"


def _long_form(short: Mapping[str, Any]) -> Json:
    item = {"type": "message", **short} if "role" in short else {**short}
    item["id"] = item.get("id") or new_item_id(item.get("type", ""))
    if item.get("type") == "message" and isinstance(item.get("content"), str):
        assistant = item.get("role") == "assistant"
        part = {"type": "output_text", "annotations": []} if assistant else {"type": "input_text"}
        item |= {"status": "completed", "content": [{**part, "text": item["content"]}]}
    return item


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Tell the client what is wrong there."""
    try:
        yield
    except KeyError as missing:
        param = f"{place}.{missing.args[0]}"
        raise InvalidRequestError(f"Missing required parameter: '{param}'.", param=param) from None
    except ValueError as error:
        raise InvalidRequestError(f"{error}.", param=place) from None
