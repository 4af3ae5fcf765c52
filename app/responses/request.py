"""What a request for a response is in a chat: one `message` for each turn, and the parameters under their other names.

The table of what becomes what is below: `_Conversation.add` for items, `PARTS` for parts, `_PARAMETERS` for the rest.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from secrets import token_hex
from typing import Any, TypeAlias

from app.errors import InvalidRequestError
from schemas.responses import ResponseRequest

__all__ = ["PREFIXES", "current_request", "input_items", "responses_request", "to_chat"]

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
}
HOSTED = ("_call", "_call_output")  # how the types of items end that tell of the server's own tools


def responses_request() -> Json | None:
    """The request that a model is asked with by the Responses API, as the client sent it; None in a chat."""
    return current_request.get()


def input_items(request: ResponseRequest) -> list[Json]:
    """The items of a request, each in its long form and with an id."""
    if isinstance(request.input, str):
        return [_long_form({"role": "user", "content": request.input})]
    return [_long_form(dict(item)) for item in request.input]


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
    conversation = _Conversation(request.instructions or None)
    for position, item in enumerate((*history, *items), start=-len(history)):
        with _naming(f"input[{position}]"):
            conversation.add(item)
    return body | {"messages": conversation.messages}


class _Conversation:
    """The messages of a chat. What an assistant thinks, says and calls in one turn is one message."""

    def __init__(self, instructions: str | None) -> None:
        self.messages: list[Json] = [{"role": "system", "content": instructions}] if instructions else []
        self._thoughts = ""  # of the assistant's next message

    def add(self, item: Json) -> None:
        match item["type"]:
            case "message" if item["role"] == "assistant":
                turn = self._turn(lambda last: not last["content"] or "tool_calls" in last)
                turn["content"] = _joined(turn["content"], _content(item.get("content")))
            case "message":
                self.messages.append({"role": item["role"], "content": _content(item.get("content"))})
            case "function_call":
                self._call(item, "function", "arguments")
            case "custom_tool_call":
                self._call(item, "custom", "input")
            case "function_call_output" | "custom_tool_call_output":
                output = {"tool_call_id": item["call_id"], "content": _content(item["output"])}
                self.messages.append({"role": "tool", **output})
            case "reasoning":
                parts = [*(item.get("summary") or []), *(item.get("content") or [])]
                self._thoughts += "".join(part["text"] for part in parts)
            case str(kind) if kind.endswith(HOSTED):
                return  # a chat has no form of it; `responses_request` does
            case kind:
                raise ValueError(f"An item of the type '{kind}' is not served here")

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
        case list() if content:
            return [PARTS.get(part["type"], dict)(part) for part in content]
        case _:
            return content or None


def _joined(said: str | list[Json] | None, more: str | list[Json] | None) -> str | list[Json] | None:
    if not said or not more:
        return more or said
    if isinstance(said, str) and isinstance(more, str):
        return said + more
    return [*_parts(said), *_parts(more)]


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


def _tools(tools: list[Json]) -> Json:
    nested = []
    for position, tool in enumerate(tools):
        with _naming(f"tools[{position}]"):
            nested.append(_nested(tool, needed="name"))
    return {"tools": nested}


def _tool_choice(choice: Any) -> Json:
    match choice:
        case {"type": "allowed_tools", "tools": list(tools)}:
            allowed = {"mode": choice.get("mode") or "auto", "tools": [_nested(tool) for tool in tools]}
            return {"tool_choice": {"type": "allowed_tools", "allowed_tools": allowed}}
        case dict():
            return {"tool_choice": _nested(choice)}
    return {"tool_choice": choice}


def _nested(tool: Any, needed: str = "type") -> Any:
    """A function or a custom tool as a chat has it; a tool of the server's own passes."""
    match tool:
        case {"type": "function" | "custom" as kind, **rest} if kind not in tool:
            _ = tool[needed]
            return {"type": kind, kind: rest}
    return tool


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


def _long_form(item: Json) -> Json:
    item = {"type": "message", **item} if "role" in item else {**item}
    item["id"] = item.get("id") or f"{PREFIXES.get(item.get('type', ''), 'item')}_{token_hex(16)}"
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
