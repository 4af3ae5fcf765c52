"""Requests for chat completions, whole completions, and the chunks of a stream.

Declared fields of a request are checked; other fields pass to the service unchanged. In answers, `UNSET` fields are
left out and `None` is sent as `null`. To send more fields, subclass a Struct or return a `dict`.
Source: https://platform.openai.com/docs/api-reference/chat
"""

from typing import Annotated, Any, Literal, NotRequired, Self, TypedDict

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, ValidationError, field

Penalty = Annotated[float, Meta(ge=-2, le=2)]
TokenLimit = Annotated[int, Meta(ge=1)]
Role = Literal["developer", "system", "user", "assistant", "tool", "function"]
ToolChoice = Literal["none", "auto", "required"]
Json = dict[str, Any]


class Request(Struct, kw_only=True):
    """Base class of requests: subclasses declare fields, and `extra` holds the others, e.g. those of one provider."""

    extra: Json = field(default_factory=dict)

    @classmethod
    def from_body(cls, body: Json) -> Self:
        """Check a parsed body, and keep its values as they were sent.

        Raises:
            msgspec.ValidationError: A field is missing, of the wrong type or out of range.
        """
        known = {name: body[name] for name in cls.__struct_fields__ if name in body and name != "extra"}
        extra = {name: value for name, value in body.items() if name not in known}
        request = msgspec.convert(known, cls)
        request.extra = extra
        for name, value in known.items():
            if isinstance(value, list | dict):
                setattr(request, name, value)  # converting left out the keys that are not declared
        return request

    def to_body(self) -> Json:
        """Return the body that a service gets: all fields that are set, declared or not."""
        declared = {name: getattr(self, name) for name in self.__struct_fields__ if name != "extra"}
        return {name: value for name, value in declared.items() if value is not UNSET} | self.extra


class ImageUrl(TypedDict):
    """Image, by its address or as a `data:` URL."""

    url: str


class InputAudio(TypedDict):
    """Audio, in Base64."""

    data: str
    format: str


PART_FIELDS: dict[str, Any] = {  # by the type of the part, which is the name of the field too
    "text": str,
    "image_url": ImageUrl,
    "input_audio": InputAudio,
    "file": Json,
    "refusal": str,
}


class RequestMessage(TypedDict):
    """Message of a conversation; keys that are not declared are kept. Only an assistant's may have no content."""

    role: Role
    content: NotRequired[str | Annotated[list[Json], Meta(min_length=1)] | None]


class FunctionDefinition(TypedDict):
    """Function that the model may call; `parameters` is a JSON schema."""

    name: str
    parameters: NotRequired[Json | None]


class Tool(TypedDict):
    """Tool that the model may call; `type` may be another than `function`."""

    type: str
    function: NotRequired[FunctionDefinition]


class StreamOptions(TypedDict):
    """Options of a stream; `include_usage` asks for a last chunk with the usage."""

    include_usage: NotRequired[bool | None]


class ChatCompletionRequest(Request):
    """Request for a chat completion; fields that the client left out are `UNSET`."""

    model: Annotated[str, Meta(min_length=1, examples=["echo"])]
    messages: Annotated[list[RequestMessage], Meta(min_length=1)]
    stream: bool | UnsetType | None = UNSET
    stream_options: StreamOptions | UnsetType | None = UNSET
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType | None = UNSET
    top_p: Annotated[float, Meta(ge=0, le=1)] | UnsetType | None = UNSET
    n: Annotated[int, Meta(ge=1, le=128)] | UnsetType | None = UNSET
    max_tokens: TokenLimit | UnsetType | None = UNSET
    max_completion_tokens: TokenLimit | UnsetType | None = UNSET
    presence_penalty: Penalty | UnsetType | None = UNSET
    frequency_penalty: Penalty | UnsetType | None = UNSET
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | UnsetType | None = UNSET
    logprobs: bool | UnsetType | None = UNSET
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | UnsetType | None = UNSET
    seed: int | UnsetType | None = UNSET
    stop: str | Annotated[list[str], Meta(max_length=4)] | UnsetType | None = UNSET
    tools: list[Tool] | UnsetType | None = UNSET
    tool_choice: ToolChoice | Json | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    response_format: Json | UnsetType | None = UNSET
    reasoning_effort: str | UnsetType | None = UNSET
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    store: bool | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET

    @classmethod
    def from_body(cls, body: Json) -> Self:
        """Check a parsed body, the content of its messages by their role and by the types of the parts."""
        request = super().from_body(body)
        for position, message in enumerate(request.messages):
            content, path = message.get("content"), f"$.messages[{position}]"
            if content is None and message["role"] != "assistant":
                if "content" in message:
                    raise ValidationError(f"Expected `str | array`, got `null` - at `{path}.content`")
                raise ValidationError(f"Object missing required field `content` - at `{path}`")
            if isinstance(content, list):
                for index, part in enumerate(content):
                    _check_part(part, f"{path}.content[{index}]")
        return request

    @property
    def include_usage(self) -> bool:
        """Whether a stream should end with a chunk of usage."""
        return bool(self.stream_options and self.stream_options.get("include_usage"))


def _check_part(part: Json, path: str) -> None:
    name = part.get("type")
    if not isinstance(name, str):
        _check_field(part, "type", str, path)
    elif name in PART_FIELDS:
        _check_field(part, name, PART_FIELDS[name], path)


def _check_field(part: Json, name: str, kind: Any, path: str) -> None:
    if name not in part:
        raise ValidationError(f"Object missing required field `{name}` - at `{path}`")
    try:
        msgspec.convert(part[name], kind)
    except ValidationError as error:
        fact, _, inner = str(error).partition(" - at `$")
        raise ValidationError(f"{fact} - at `{path}.{name}{inner or '`'}") from None


FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class FunctionCall(Struct, kw_only=True):
    """Function that a model calls; `arguments` is a JSON object as text."""

    name: str
    arguments: str


class ToolCall(Struct, kw_only=True):
    """Call of a tool; an empty `id` is replaced by a new one."""

    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(Struct, kw_only=True):
    """Message of the assistant; `content` is `None` if it only calls tools."""

    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET


class Choice(Struct, kw_only=True):
    """One of the `n` answers that a request asks for."""

    index: int = 0
    message: Message
    finish_reason: FinishReason = "stop"
    logprobs: dict[str, Any] | None = None


class Usage(Struct, kw_only=True):
    """Numbers of tokens; `total_tokens` is by default the sum of the others."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int | UnsetType = UNSET
    prompt_tokens_details: dict[str, Any] | UnsetType = UNSET
    completion_tokens_details: dict[str, Any] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.total_tokens is UNSET:
            self.total_tokens = self.prompt_tokens + self.completion_tokens


class ChatCompletion(Struct, kw_only=True):
    """Whole completion; the server fills in an empty `id`, `created` or `model`."""

    id: str = ""
    object: Literal["chat.completion"] = "chat.completion"
    created: int = 0
    model: str = ""
    choices: list[Choice]
    usage: Usage | UnsetType = UNSET
    service_tier: str | UnsetType | None = UNSET
    system_fingerprint: str | UnsetType = UNSET


class FunctionCallDelta(Struct, kw_only=True):
    """Part of a function call: the name comes once, the arguments in parts."""

    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class ToolCallDelta(Struct, kw_only=True):
    """Part of a tool call; `index` is the number of the call, from 0."""

    index: int
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET
    function: FunctionCallDelta | UnsetType = UNSET


class Delta(Struct, kw_only=True):
    """Part that a chunk adds to the message."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCallDelta] | UnsetType = UNSET


class ChunkChoice(Struct, kw_only=True):
    """Part of a chunk that belongs to one of the `n` answers."""

    index: int = 0
    delta: Delta
    finish_reason: FinishReason | None = None
    logprobs: dict[str, Any] | UnsetType | None = UNSET


class ChatCompletionChunk(Struct, kw_only=True):
    """Frame of a stream; the server fills in an empty `id`, `created` or `model`."""

    id: str = ""
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int = 0
    model: str = ""
    choices: list[ChunkChoice]
    usage: Usage | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    system_fingerprint: str | UnsetType = UNSET
