"""Readers of a request: its messages, the tools that its client offers, and its parameters.

What an agent cannot be given raises an InvalidRequestError; its `param` is the message or tool, e.g. `messages[2]`.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from app.errors import InvalidRequestError
from app.model import Body, Messages
from schemas.chat import Json

MALFORMED = (AttributeError, KeyError, RecursionError, TypeError, ValueError)  # raised while reading a wrong form
Options: TypeAlias = Callable[[Body], Mapping[str, Any]]

NO_PARAMETERS = {"type": "object", "properties": {}}


def no_options(body: Body) -> Mapping[str, Any]:
    """Return no further arguments of a run."""
    return {}


def numbered(messages: Messages) -> Iterator[tuple[str, Json]]:
    """Yield each message and what it is called in an error."""
    for position, message in enumerate(messages):
        yield f"messages[{position}]", dict(message)


@contextmanager
def reading(param: str) -> Iterator[None]:
    """Raise an InvalidRequestError that names the part of the request that is malformed."""
    try:
        yield
    except MALFORMED as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else "it is not of OpenAI's form"
        reason = str(error) if type(error) is ValueError else reason
        raise InvalidRequestError(f"This model cannot read {param}: {reason.rstrip('.')}.", param=param) from None


def parts_of(message: Mapping[str, Any]) -> list[Json]:
    """Return the content of a message as parts."""
    content = message.get("content") or message.get("refusal") or ""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a message that holds nothing else."""
    parts = parts_of(message)
    if others := [part["type"] for part in parts if part["type"] not in ("text", "refusal")]:
        raise ValueError(f"a message of the role {message['role']} holds text alone, not {others[0]}")
    return "\n".join(part[part["type"]] for part in parts)


def offered_functions(body: Body, own: Container[str] = ()) -> dict[str, Json]:
    """Return the functions that the client answers itself, by name; none may have a name of the agent's own tools."""
    functions: dict[str, Json] = {}
    if body.get("tool_choice") == "none":
        return functions
    for position, tool in enumerate(body.get("tools") or ()):
        with reading(f"tools[{position}]"):
            function = tool["function"]
            if function["name"] in own:
                raise ValueError(f"the agent has a tool named {function['name']!r} itself, so give it another name")
            if function["name"] in functions:
                raise ValueError(f"another tool has the name {function['name']!r}")
            functions[function["name"]] = {
                "description": "",
                **function,
                "parameters": function.get("parameters") or NO_PARAMETERS,
            }
    return functions


def parameters_of(body: Body, names: Mapping[str, str]) -> Json:
    """Return the parameters of a request that are set, under the framework's names of them."""
    return {name: body[ours] for ours, name in names.items() if body.get(ours) is not None}
