"""The parameters of a request under the names that the class of a generator has for them."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from app.haystack.graph import AnyComponent, generators_within
from app.haystack.messages import to_tools
from app.services import Body
from schemas.chat import ChatCompletionRequest, Json

Parameters: TypeAlias = Callable[[Body], dict[str, Any]]
Names: TypeAlias = Mapping[str, str | Callable[[Any], Json]]  # of OpenAI's parameters; a function gives name and value

TOOL_PARAMETERS = frozenset({"tool_choice", "parallel_tool_calls"})
NOT_FOR_GENERATORS = frozenset({"messages", "model", "n", "store", "stream", "tools"})
PARAMETERS = {*ChatCompletionRequest.__struct_fields__, "prediction", "verbosity"} - NOT_FOR_GENERATORS
OPENAI: Names = {name: name for name in PARAMETERS}


def generator_parameters(body: Body, names: Names = OPENAI) -> dict[str, Any]:
    """Return the inputs `generation_kwargs` and `tools` for a generator: the parameters that it has a name for."""
    tools = to_tools(body)
    return {"generation_kwargs": _renamed(body, names, has_tools=bool(tools)), "tools": tools}


def shared_parameters(body: Body, component: AnyComponent) -> dict[str, Any]:
    """Return the parameters that all generators in a component have, under their names, as any of them may answer."""
    tools = to_tools(body)
    generators = [each for each in (component, *generators_within(component)) if not generators_within(each)]
    first, *others = (_renamed(body, _names_of(each), has_tools=bool(tools)) for each in generators)
    kwargs = {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
    return {"generation_kwargs": kwargs, "tools": tools}


def _names_of(generator: AnyComponent) -> Names:
    return next((NAMES[base.__name__] for base in type(generator).__mro__ if base.__name__ in NAMES), OPENAI)


def _renamed(body: Body, names: Names, *, has_tools: bool) -> dict[str, Any]:
    kwargs: dict[str, Any] = {}
    for name, rename in names.items():
        if (value := body.get(name)) is not None and (has_tools or name not in TOOL_PARAMETERS):
            kwargs |= {rename: value} if isinstance(rename, str) else rename(value)
    return kwargs


def _flat(value: Any) -> Any:
    """Return a format or a choice of tools as the Responses API has it, where nothing is nested under its type."""
    if not isinstance(value, dict):
        return value
    inner = value.get(str(value.get("type")))
    return {**(inner if isinstance(inner, dict) else {}), "type": value.get("type")}


def _limit(name: str) -> Names:
    return {"max_tokens": name, "max_completion_tokens": name}


def _strings(name: str) -> Callable[[Any], Json]:
    return lambda value: {name: [value] if isinstance(value, str) else value}


SAMPLING = {name: name for name in ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")}
IN_RESPONSES = ("temperature", "top_p", "top_logprobs", "parallel_tool_calls", "reasoning_effort", "verbosity")
NAMES: dict[str, Names] = {  # by the class of a generator, or a base of it
    "OpenAIResponsesChatGenerator": {
        **{name: name for name in (*IN_RESPONSES, "metadata", "service_tier", "user")},
        **_limit("max_output_tokens"),
        "logprobs": lambda asked: {"include": ["message.output_text.logprobs"]} if asked else {},
        "response_format": lambda value: {"text": {"format": _flat(value)}},
        "tool_choice": lambda value: {"tool_choice": _flat(value)},
    },
    "AnthropicChatGenerator": {
        **_limit("max_tokens"),
        "temperature": "temperature",
        "top_p": "top_p",
        "stop": _strings("stop_sequences"),
        "parallel_tool_calls": "parallel_tool_use",
    },
    "GoogleGenAIChatGenerator": {**SAMPLING, **_limit("max_output_tokens"), "stop": _strings("stop_sequences")},
    "OllamaChatGenerator": {**SAMPLING, **_limit("num_predict"), "stop": _strings("stop")},
}
