"""The request for a chat completion: OpenAI's parameters, and whatever else a client sends.

Declared fields are checked, so a wrong type or a value out of OpenAI's range never reaches a
service. Fields that are not declared pass untouched.
Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from typing import Annotated, Any, NotRequired, Self, TypedDict

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = [
    "ChatCompletionRequest",
    "FunctionDefinition",
    "Json",
    "Request",
    "RequestMessage",
    "Role",
    "StreamOptions",
    "TokenLimit",
    "Tool",
]

Penalty = Annotated[float, Meta(ge=-2, le=2)]
TokenLimit = Annotated[int, Meta(ge=1)]
Role = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]*\Z", examples=["user", "system", "assistant", "tool"])]
Json = dict[str, Any]


class Request(Struct, kw_only=True, dict=True):
    """A request of any kind: its declared fields are those of a subclass, and `extra` holds the others."""

    @classmethod
    def from_body(cls, body: Json) -> Self:
        """Check a parsed body and keep its values as they were sent.

        Raises:
            msgspec.ValidationError: a field is missing, of the wrong type or out of range.
        """
        request = msgspec.convert(body, cls)
        for name, value in body.items():
            if name not in cls.__struct_fields__:
                request.extra[name] = value
            elif isinstance(value, list | dict):
                setattr(request, name, value)  # converting left out the keys that are not declared
        return request

    def to_body(self) -> Json:
        """The request as a service sees it: all that is set, declared or not."""
        declared = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in declared.items() if value is not UNSET} | self.extra

    @property
    def extra(self) -> Json:
        """The fields that are not declared here: a provider's own, or newer than this schema."""
        extra: Json = self.__dict__.setdefault("extra", {})
        return extra


class RequestMessage(TypedDict):
    """One message of the conversation; keys that are not declared here are kept."""

    role: Role
    content: NotRequired[str | list[Json] | None]


class FunctionDefinition(TypedDict):
    """A function that the model may call; `parameters` is a JSON schema."""

    name: str
    parameters: NotRequired[Json | None]


class Tool(TypedDict):
    """A tool that the model may call: `type` is `function` or newer."""

    type: str
    function: NotRequired[FunctionDefinition]


class StreamOptions(TypedDict):
    """`include_usage` asks for a last chunk with the usage of tokens."""

    include_usage: NotRequired[bool | None]


class ChatCompletionRequest(Request):
    """A request for a chat completion. A field that the client left out is `UNSET`."""

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
    tool_choice: str | Json | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    response_format: Json | UnsetType | None = UNSET
    reasoning_effort: str | UnsetType | None = UNSET
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    store: bool | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET

    @property
    def include_usage(self) -> bool:
        """Whether a stream shall end with a chunk of usage."""
        return bool(self.stream_options and self.stream_options.get("include_usage"))
