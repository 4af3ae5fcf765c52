"""What of a request reaches a generator beside the messages."""

from typing import Any

from app.haystack.messages import to_tools
from app.services import Body

__all__ = ["ABOUT_TOOLS", "parameters_of"]

ABOUT_TOOLS = frozenset({"tool_choice", "parallel_tool_calls"})
PARAMETERS = ABOUT_TOOLS | {
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "prediction",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "service_tier",
    "stop",
    "stream_options",
    "temperature",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
}


def parameters_of(body: Body) -> dict[str, Any]:
    """The inputs `generation_kwargs` and `tools` that a request asks for: OpenAI's parameters under their own names.

    Raises:
        InvalidRequestError: a tool is no function, or its parameters are no JSON schema.
    """
    kwargs = {name: value for name, value in body.items() if name in PARAMETERS and value is not None}
    return {"generation_kwargs": kwargs, "tools": to_tools(body)}
