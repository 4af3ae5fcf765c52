"""The request for a response: OpenAI's second way to ask a model.

As in `schemas/request.py`, declared fields are checked, and others pass.
Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from typing import Annotated, NotRequired, TypedDict

from msgspec import UNSET, Meta, UnsetType

from schemas.request import Json, Request, Role, TokenLimit

__all__ = ["InputItem", "ResponseRequest"]


class ContentPart(TypedDict, total=False):
    """A part of what a message, a tool's output or reasoning holds; other keys pass."""

    type: Annotated[str, Meta(examples=["input_text", "input_image", "input_file", "output_text", "refusal"])]
    text: str
    refusal: str
    image_url: str | Json | None


class InputItem(TypedDict, total=False):
    """A message, or what else there is in a conversation, by its `type`; keys that are not declared here are kept."""

    type: Annotated[str, Meta(examples=["message", "function_call", "function_call_output", "reasoning"])]
    id: str | None
    role: Role
    content: str | list[ContentPart] | None
    call_id: str
    name: str
    arguments: str | Json | None
    input: str
    output: str | list[ContentPart] | Json | None
    summary: list[ContentPart] | None


class ResponseTool(TypedDict):
    """A tool that the model may call: functions are not nested, as they are in a chat."""

    type: Annotated[str, Meta(examples=["function"])]
    name: NotRequired[str]
    parameters: NotRequired[Json | None]


class Reasoning(TypedDict):
    """How hard to think."""

    effort: NotRequired[str | None]


class TextOptions(TypedDict):
    """The form of the text; `format` may be a JSON schema."""

    format: NotRequired[Json | None]
    verbosity: NotRequired[str | None]


class ResponseRequest(Request):
    """A request for a response. A field that the client left out is `UNSET`."""

    model: Annotated[str, Meta(min_length=1, examples=["echo"])]
    input: str | list[InputItem] | UnsetType = UNSET
    instructions: str | UnsetType | None = UNSET
    previous_response_id: str | UnsetType | None = UNSET
    stream: bool | UnsetType | None = UNSET
    store: bool | UnsetType | None = UNSET
    max_output_tokens: TokenLimit | UnsetType | None = UNSET
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType | None = UNSET
    top_p: Annotated[float, Meta(ge=0, le=1)] | UnsetType | None = UNSET
    tools: list[ResponseTool] | UnsetType | None = UNSET
    tool_choice: str | Json | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    text: TextOptions | UnsetType | None = UNSET
    reasoning: Reasoning | UnsetType | None = UNSET
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET
