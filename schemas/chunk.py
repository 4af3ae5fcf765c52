"""A chunk: the part of a completion that one frame of a stream carries.

Source: https://platform.openai.com/docs/api-reference/chat/streaming
"""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from schemas.completion import FinishReason, Usage

__all__ = ["ChatCompletionChunk", "ChunkChoice", "Delta", "FunctionCallDelta", "ToolCallDelta"]


class FunctionCallDelta(Struct, kw_only=True):
    """A piece of a function call: the name comes once, the arguments bit by bit."""

    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class ToolCallDelta(Struct, kw_only=True):
    """A piece of the tool call that `index` numbers, counted from 0."""

    index: int
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET
    function: FunctionCallDelta | UnsetType = UNSET


class Delta(Struct, kw_only=True):
    """What a chunk adds to the message."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCallDelta] | UnsetType = UNSET


class ChunkChoice(Struct, kw_only=True):
    """The part of a chunk that belongs to one of the `n` answers."""

    index: int = 0
    delta: Delta
    finish_reason: FinishReason | None = None
    logprobs: dict[str, Any] | UnsetType | None = UNSET


class ChatCompletionChunk(Struct, kw_only=True):
    """One frame of a stream. `id`, `created` and `model` may be left to the server."""

    id: str = ""
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int = 0
    model: str = ""
    choices: list[ChunkChoice]
    usage: Usage | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    system_fingerprint: str | UnsetType = UNSET
