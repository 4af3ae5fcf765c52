"""What the API's documentation says beyond the handlers' types."""

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPIMediaType, Operation, Reference, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType

from schemas.chat import ChatCompletion, ChatCompletionRequest
from schemas.errors import ErrorResponse
from schemas.responses import Response, ResponseRequest

__all__ = [
    "ANSWER",
    "COMPLETION_ERRORS",
    "ERRORS",
    "MODEL_ERRORS",
    "RESPONSE",
    "RESPONSE_ERRORS",
    "ChatCompletionOperation",
    "ResponseOperation",
    "errors",
]


def _spec(kind: type[msgspec.Struct], description: str) -> ResponseSpec:
    """What a handler may answer; Litestar would invent an example of it, another one at each start."""
    return ResponseSpec(kind, description=description, generate_examples=False)


def errors(descriptions: dict[int, str]) -> dict[int, ResponseSpec]:
    """Errors by their statuses, for the `responses` of a handler."""
    return {status: _spec(ErrorResponse, description) for status, description in descriptions.items()}


ANSWER = {200: _spec(ChatCompletion, "The completion, or a stream of its chunks.")}
RESPONSE = {200: _spec(Response, "The response.")}
ERRORS = errors(
    {
        400: "The request is at fault: `param` names the field.",
        401: "There is no API key, or a wrong one.",
        429: "These were too many requests: `retry-after` says when to try again.",
        431: "The headers are too large.",
        500: "The server failed.",
    }
)
MODEL_ERRORS = ERRORS | errors({404: "There is no such model: the message names those there are."})
RESPONSE_ERRORS = ERRORS | errors(
    {
        404: "No such response is kept for this caller.",
        503: "The responses that are kept cannot be reached.",
    }
)
COMPLETION_ERRORS = MODEL_ERRORS | errors(
    {
        413: "The body is too large.",
        415: "The body says that it is not JSON.",
        503: "The server is overloaded, or shutting down.",
        504: "The completion took too long.",
    }
)

MESSAGES = [{"role": "user", "content": "Hello!"}]
CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "echo"}
STREAM = "".join(
    f"data: {data}\n\n"
    for data in (
        *(
            msgspec.json.encode({**CHUNK, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}).decode()
            for delta, reason in (
                ({"role": "assistant", "content": ""}, None),
                ({"content": "Hello!"}, None),
                ({}, "stop"),
            )
        ),
        "[DONE]",
    )
)
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "echo",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello!", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
}


@dataclass
class ChatCompletionOperation(Operation):
    """The operation whose body is checked by the engine, and whose answer has two forms."""

    def __post_init__(self) -> None:
        """Describe the body and both forms of the answer."""
        ask, of_frames = {"model": "echo", "messages": MESSAGES}, "Frames of `ChatCompletionChunk`, then `[DONE]`."
        self.request_body = _request_body(ChatCompletionRequest, ask)
        _describe_answer(self, of_frames, whole=COMPLETION, stream=STREAM)


@dataclass
class ResponseOperation(Operation):
    """Likewise, for responses."""

    def __post_init__(self) -> None:
        """Describe the body and both forms of the answer."""
        self.request_body = _request_body(ResponseRequest, {"model": "echo", "input": "Hello!"})
        _describe_answer(self, "Named events, the last of which holds the response.")


def _request_body(schema: type[msgspec.Struct], ask: dict[str, Any]) -> RequestBody:
    examples: dict[str, Example | Reference] = {
        "whole": Example(value=ask),
        "stream": Example(value={**ask, "model": "echo-stream", "stream": True}),
    }
    return RequestBody(
        required=True, content={"application/json": OpenAPIMediaType(schema=_schema_of(schema), examples=examples)}
    )


def _describe_answer(operation: Operation, frames: str, **examples: Any) -> None:
    response = (operation.responses or {})["200"]
    content: dict[str, OpenAPIMediaType] = getattr(response, "content")  # noqa: B009 - a reference has none
    content["text/event-stream"] = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, description=frames))
    for kind, name in (("application/json", "whole"), ("text/event-stream", "stream")):
        if name in examples:
            content[kind].examples = {name: Example(value=examples[name])}


def _schema_of(struct: type[msgspec.Struct]) -> Any:
    """The JSON schema of a Struct, in one piece: Litestar passes on what is a dict already."""
    (schema,), parts = msgspec.json.schema_components([struct], ref_template="{name}")

    def inline(node: Any) -> Any:
        if isinstance(node, dict):
            return (
                inline(parts[node["$ref"]]) if "$ref" in node else {name: inline(value) for name, value in node.items()}
            )
        return [inline(value) for value in node] if isinstance(node, list) else node

    return inline(schema)
