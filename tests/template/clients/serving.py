"""The application that all clients of the Responses API ask: a model for each thing that a response may hold."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from litestar import Litestar

from app.app import create_app as create_project_app
from app.errors import CompletionError
from app.registry import Pipelines
from app.responses.request import responses_request
from app.services import Body, Messages
from schemas.chat import Delta, FunctionCallDelta, Json, ToolCallDelta
from schemas.responses import OutputMessage, OutputText, Response
from tests.conftest import yielding

ANSWER = "Hello, world"
SOURCE = {"type": "url_citation", "url": "https://example.com/", "title": "A page", "start_index": 0, "end_index": 5}
TOKEN = {"token": "Hello", "logprob": -0.5, "bytes": [72, 101, 108, 108, 111], "top_logprobs": []}
USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
CITIES = ("Paris", "Rome")


class Status:
    def to_event_dict(self) -> Json:
        return {"type": "status"}


def cites(model: str, messages: Messages, body: Body) -> str | Response:
    if responses_request() is None:
        return ANSWER
    return Response(output=[OutputMessage(content=[OutputText(text=ANSWER, annotations=[SOURCE])])])


async def calls(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Delta]:
    """Call the first tool for both cities, the calls interleaved, or say what the calls returned."""
    if model == "calls":  # Open Responses has no events for what `reasoning_text` tells
        yield Delta(reasoning_content="They ask me.")
    tools = body.get("tools")
    if not tools or messages[-1]["role"] == "tool":
        yield " ".join(str(message["content"]) for message in messages if message["role"] == "tool") or ANSWER
        return
    for index in range(len(CITIES)):
        function = FunctionCallDelta(name=tools[0]["function"]["name"], arguments='{"city": ')
        yield Delta(tool_calls=[ToolCallDelta(index=index, id=f"call_{index}", type="function", function=function)])
    for index, city in enumerate(CITIES):
        yield Delta(tool_calls=[ToolCallDelta(index=index, function=FunctionCallDelta(arguments=f'"{city}"}}'))])


MODELS: dict[str, Callable[..., Any]] = {
    "text": yielding("Hello", ", world"),
    "thinks": yielding(Delta(reasoning_content="They greet "), Delta(reasoning_content="me."), ANSWER),
    "notifies": yielding(Status(), "Hello", Status(), ", world"),
    "cites": cites,
    "calls": calls,
    "complies": calls,
    "refuses": yielding(Delta(refusal="I will not "), Delta(refusal="say that.")),
    "weighs": yielding(
        {"choices": [{"delta": {"content": "Hello"}, "logprobs": {"content": [TOKEN]}}]},
        {"choices": [], "usage": USAGE},
    ),
    "formats": yielding('{"city": "Paris", ', '"temperature": 21}'),
    "fails": yielding(CompletionError("The index is being rebuilt.", status=400, code="rebuilding")),
    "breaks": yielding("Hello", CompletionError("The index broke.", code="broken")),
}


def create_app() -> Litestar:
    """Compose the application that `litestar --app tests.template.clients.serving:create_app run` serves."""
    pipelines = Pipelines()
    for name, model in MODELS.items():
        pipelines.add(name, model)
    return create_project_app(pipelines=pipelines)
