"""The response that a model makes, and its items: what streams and what does not are made of the same.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from schemas.request import Json

__all__ = [
    "CustomToolCall",
    "DeletedResponse",
    "ErrorCode",
    "FunctionToolCall",
    "IncompleteDetails",
    "IncompleteReason",
    "InputTokensDetails",
    "OutputItem",
    "OutputMessage",
    "OutputRefusal",
    "OutputText",
    "OutputTokensDetails",
    "ReasoningItem",
    "Response",
    "ResponseError",
    "ResponseItemList",
    "ResponseUsage",
    "Status",
    "SummaryText",
]

Status = Literal["in_progress", "completed", "incomplete", "failed"]
IncompleteReason = Literal["max_output_tokens", "content_filter"]
ErrorCode = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]  # OpenAI has more, which are not ours


class OutputText(Struct, kw_only=True, tag_field="type", tag="output_text"):
    """Text of a message."""

    text: str = ""
    annotations: list[Json] = []
    logprobs: list[Json] = []


class OutputRefusal(Struct, kw_only=True, tag_field="type", tag="refusal"):
    """A refusal, where the text would be."""

    refusal: str = ""


class SummaryText(Struct, kw_only=True, tag_field="type", tag="summary_text"):
    """Text of reasoning."""

    text: str = ""


class OutputMessage(Struct, kw_only=True, tag_field="type", tag="message"):
    """What the assistant said. As with all items, one without an id gets one."""

    id: str = ""
    status: Status = "completed"
    role: Literal["assistant"] = "assistant"
    content: list[OutputText | OutputRefusal] = []


class ReasoningItem(Struct, kw_only=True, tag_field="type", tag="reasoning"):
    """What the model thought."""

    id: str = ""
    status: Status = "completed"
    summary: list[SummaryText] = []


class FunctionToolCall(Struct, kw_only=True, tag_field="type", tag="function_call"):
    """A function that the model wants called; `arguments` is a JSON object as text."""

    id: str = ""
    status: Status = "completed"
    call_id: str
    name: str = ""
    arguments: str = ""


class CustomToolCall(Struct, kw_only=True, tag_field="type", tag="custom_tool_call"):
    """A tool that the model wants called, with any text."""

    id: str = ""
    status: Status = "completed"
    call_id: str
    name: str = ""
    input: str = ""


OutputItem: TypeAlias = OutputMessage | ReasoningItem | FunctionToolCall | CustomToolCall


class InputTokensDetails(Struct, kw_only=True):
    """Tokens that a cache had, or has now."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(Struct, kw_only=True):
    """Tokens that were thought, and not said."""

    reasoning_tokens: int = 0


class ResponseUsage(Struct, kw_only=True):
    """How many tokens it took."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponseError(Struct, kw_only=True):
    """Why a response failed."""

    code: ErrorCode
    message: str


class IncompleteDetails(Struct, kw_only=True):
    """Why a response is cut off."""

    reason: IncompleteReason


class Response(Struct, kw_only=True):
    """What the model made of a request, and what the request asked for; times in Unix seconds.

    A service that returns one says `output` and, if it likes, `usage`: the rest is the server's to say.
    """

    id: str = ""
    object: Literal["response"] = "response"
    created_at: int = 0
    status: Status = "completed"
    completed_at: int | None = None
    background: bool = False
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str] = {}
    model: str = ""
    output: list[OutputItem] = []
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    reasoning: Json = {}
    service_tier: str | UnsetType = UNSET
    store: bool = True
    temperature: float | None = None
    text: Json = field(default_factory=lambda: {"format": {"type": "text"}})
    tool_choice: str | Json = "auto"
    tools: list[Json] = []
    top_p: float | None = None
    truncation: str = "disabled"
    usage: ResponseUsage | None = None
    user: str | None = None


class DeletedResponse(Struct, kw_only=True, frozen=True):
    """Says that a response is no longer kept."""

    id: str
    object: Literal["response"] = "response"
    deleted: bool = True


class ResponseItemList(Struct, kw_only=True, frozen=True):
    """Items that a response was made from, each with an `id`."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool
