"""The request for a response, the response, and its items.

Declared request fields are checked; undeclared ones pass to the service unchanged.
Source: https://platform.openai.com/docs/api-reference/responses
"""

from typing import Annotated, Literal, NotRequired, TypedDict

from msgspec import UNSET, Meta, Struct, UnsetType, field

from schemas.chat import Json, Penalty, Request, Role, ToolChoice


class ContentPart(TypedDict, total=False):
    """Part of a message, of a tool's output or of reasoning; other keys pass."""

    type: Annotated[str, Meta(examples=["input_text", "input_image", "input_file", "output_text", "refusal"])]
    text: str | None
    refusal: str | None
    image_url: str | Json | None


class InputItem(TypedDict, total=False):
    """Item of a conversation, a message by default; undeclared keys are kept."""

    type: Annotated[str | None, Meta(examples=["message", "function_call", "function_call_output", "reasoning"])]
    id: str | None
    role: Role | None
    content: str | list[ContentPart] | None
    call_id: str | None
    name: str | None
    arguments: str | Json | None
    input: str | Json | None
    output: str | list[ContentPart] | Json | None
    summary: list[ContentPart] | None


class ResponseTool(TypedDict):
    """Tool that the model may call; unlike in a chat, a function is not nested."""

    type: Annotated[str, Meta(examples=["function"])]
    name: NotRequired[str | None]
    parameters: NotRequired[Json | None]


class Reasoning(TypedDict):
    """Options of reasoning."""

    effort: NotRequired[str | None]
    summary: NotRequired[str | None]


class TextOptions(TypedDict):
    """Options of the text; `format` may be a JSON schema."""

    format: NotRequired[Json | None]
    verbosity: NotRequired[str | None]


class ResponseRequest(Request):
    """Request for a response. A field that the client left out is `UNSET`."""

    model: Annotated[str, Meta(min_length=1, examples=["echo"])]
    input: str | list[InputItem] | UnsetType = UNSET
    instructions: str | UnsetType | None = UNSET
    previous_response_id: str | UnsetType | None = UNSET
    stream: bool | UnsetType | None = UNSET
    background: bool | UnsetType | None = UNSET
    store: bool | UnsetType | None = UNSET
    max_output_tokens: Annotated[int, Meta(ge=16)] | UnsetType | None = UNSET
    max_tool_calls: Annotated[int, Meta(ge=1)] | UnsetType | None = UNSET
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType | None = UNSET
    top_p: Annotated[float, Meta(ge=0, le=1)] | UnsetType | None = UNSET
    tools: list[ResponseTool] | UnsetType | None = UNSET
    tool_choice: ToolChoice | Json | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    text: TextOptions | UnsetType | None = UNSET
    reasoning: Reasoning | UnsetType | None = UNSET
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET
    truncation: str | UnsetType | None = UNSET
    include: list[str] | UnsetType | None = UNSET
    presence_penalty: Penalty | UnsetType | None = UNSET
    frequency_penalty: Penalty | UnsetType | None = UNSET
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | UnsetType | None = UNSET
    safety_identifier: str | UnsetType | None = UNSET
    prompt_cache_key: str | UnsetType | None = UNSET


Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
ErrorCode = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]  # OpenAI has more


class OutputText(Struct, kw_only=True, tag_field="type", tag="output_text"):
    """Text of a message."""

    text: str = ""
    annotations: list[Json] = []
    logprobs: list[Json] = []


class OutputRefusal(Struct, kw_only=True, tag_field="type", tag="refusal"):
    """Refusal in place of a text."""

    refusal: str = ""


class SummaryText(Struct, kw_only=True, tag_field="type", tag="summary_text"):
    """Summary of reasoning, or a part of it."""

    text: str = ""


class ReasoningText(Struct, kw_only=True, tag_field="type", tag="reasoning_text"):
    """Reasoning, or a part of it."""

    text: str = ""


class OutputMessage(Struct, kw_only=True, tag_field="type", tag="message"):
    """Answer of the assistant. As with all items, one without an id gets one."""

    id: str = ""
    status: Status = "completed"
    role: Literal["assistant"] = "assistant"
    content: list[OutputText | OutputRefusal] = []


class ReasoningItem(Struct, kw_only=True, tag_field="type", tag="reasoning"):
    """Reasoning of the model."""

    id: str = ""
    status: Status = "completed"
    summary: list[SummaryText] = []
    content: list[ReasoningText] = []


class FunctionToolCall(Struct, kw_only=True, tag_field="type", tag="function_call"):
    """Call of a function; `arguments` is a JSON object as text."""

    id: str = ""
    status: Status = "completed"
    call_id: str
    name: str = ""
    arguments: str = ""
    namespace: str | UnsetType = UNSET


class CustomToolCall(Struct, kw_only=True, tag_field="type", tag="custom_tool_call"):
    """Call of a custom tool; `input` is any text."""

    id: str = ""
    status: Status = "completed"
    call_id: str
    name: str = ""
    input: str = ""


OutputItem = OutputMessage | ReasoningItem | FunctionToolCall | CustomToolCall


class InputTokensDetails(Struct, kw_only=True):
    """Input tokens read from a cache or written to it."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(Struct, kw_only=True):
    """Output tokens spent on reasoning."""

    reasoning_tokens: int = 0


class ResponseUsage(Struct, kw_only=True):
    """Numbers of tokens."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponseError(Struct, kw_only=True):
    """Reason why a response failed."""

    code: ErrorCode
    message: str


class IncompleteDetails(Struct, kw_only=True):
    """Reason why a response was cut off."""

    reason: Literal["max_output_tokens", "content_filter"]


class Response(Struct, kw_only=True):
    """Response, with the parameters of its request; times in Unix seconds.

    A service that returns one sets `output` and perhaps `usage`; the server sets the rest.
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
    reasoning: Json = field(default_factory=lambda: {"effort": None, "summary": None})
    service_tier: str = "default"
    store: bool = True
    temperature: float = 1
    text: Json = field(default_factory=lambda: {"format": {"type": "text"}})
    tool_choice: str | Json = "auto"
    tools: list[Json] = []
    top_p: float = 1
    presence_penalty: float = 0
    frequency_penalty: float = 0
    top_logprobs: int = 0
    max_tool_calls: int | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    truncation: str = "disabled"
    usage: ResponseUsage | None = None
    user: str | None = None


class CompactedResponse(Struct, kw_only=True, frozen=True):
    """Conversation in fewer words: the messages of the user, and an item that stands for all that was said."""

    id: str
    object: Literal["response.compaction"] = "response.compaction"
    created_at: int
    output: list[Json]
    usage: ResponseUsage


class InputTokens(Struct, kw_only=True, frozen=True):
    """Number of tokens of a request."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


class DeletedResponse(Struct, kw_only=True, frozen=True):
    """Confirmation that a response was deleted."""

    id: str
    object: Literal["response"] = "response"
    deleted: bool = True


class ResponseItemList(Struct, kw_only=True, frozen=True):
    """Page of the items that a response was made from, each with an `id`."""

    object: Literal["list"] = "list"
    data: list[Json]
    first_id: str | None
    last_id: str | None
    has_more: bool
