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
    kwargs: dict[str, Any] = {}
    for name, rename in names.items():
        if (value := body.get(name)) is not None and (tools or name not in TOOL_PARAMETERS):
            kwargs |= {rename: value} if isinstance(rename, str) else rename(value)
    return {"generation_kwargs": kwargs, "tools": tools}


def names_for(component: AnyComponent) -> Names:
    """Return the names that all generators in a component have in common, as any of them may answer."""
    generators = [each for each in (component, *generators_within(component)) if not generators_within(each)]
    first, *others = map(_names_of, generators)
    return {name: rename for name, rename in first.items() if all(other.get(name) == rename for other in others)}


def _names_of(generator: AnyComponent) -> Names:
    return next((NAMES[base.__name__] for base in type(generator).__mro__ if base.__name__ in NAMES), OPENAI)


def _flat(value: Any) -> Any:
    """Return a format or a choice of tools as the Responses API has it, where nothing is nested under its type."""
    if not isinstance(value, dict):
        return value
    inner = value.get(str(value.get("type")))
    return {**(inner if isinstance(inner, dict) else {}), "type": value.get("type")}


def _listed(stop: str | list[str]) -> list[str]:
    return [stop] if isinstance(stop, str) else stop


def _limit(name: str) -> Names:
    return {"max_tokens": name, "max_completion_tokens": name}


def _stop_sequences(stop: str | list[str]) -> Json:
    return {"stop_sequences": _listed(stop)}


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
        "stop": _stop_sequences,
        "parallel_tool_calls": "parallel_tool_use",
    },
    "GoogleGenAIChatGenerator": {**SAMPLING, **_limit("max_output_tokens"), "stop": _stop_sequences},
    "OllamaChatGenerator": {**SAMPLING, **_limit("num_predict"), "stop": lambda stop: {"stop": _listed(stop)}},
}
