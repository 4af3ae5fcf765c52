"""A whole completion: the answer to a request that does not stream.

To send fields of your own, subclass a Struct and return the subclass, or return a plain `dict`.
`UNSET` fields are left out on the wire, `None` is sent as `null`.
Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

__all__ = ["ChatCompletion", "Choice", "FinishReason", "FunctionCall", "Message", "ToolCall", "Usage"]

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class FunctionCall(Struct, kw_only=True):
    """The function a model wants called; `arguments` is a JSON object as text."""

    name: str
    arguments: str


class ToolCall(Struct, kw_only=True):
    """A call of a tool. An empty `id` is replaced by a new one."""

    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(Struct, kw_only=True):
    """What the assistant said; `content` is `None` where it called tools instead."""

    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET


class Choice(Struct, kw_only=True):
    """One of the `n` answers that the request asked for."""

    index: int = 0
    message: Message
    finish_reason: FinishReason = "stop"
    logprobs: dict[str, Any] | None = None


class Usage(Struct, kw_only=True):
    """How many tokens it took. `total_tokens` is the sum of the others unless given."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int = -1
    prompt_tokens_details: dict[str, Any] | UnsetType = UNSET
    completion_tokens_details: dict[str, Any] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.total_tokens < 0:
            self.total_tokens = self.prompt_tokens + self.completion_tokens


class ChatCompletion(Struct, kw_only=True):
    """A whole completion. `id`, `created` and `model` may be left to the server."""

    id: str = ""
    object: Literal["chat.completion"] = "chat.completion"
    created: int = 0
    model: str = ""
    choices: list[Choice]
    usage: Usage | UnsetType = UNSET
    service_tier: str | UnsetType | None = UNSET
    system_fingerprint: str | UnsetType = UNSET
