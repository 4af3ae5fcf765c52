"""Models that answer at once."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from app.registry import Pipelines
from app.services import Body, Messages
from schemas.chat import Delta, FunctionCallDelta, ToolCallDelta, Usage

__all__ = ["AWKWARD", "add_answering_models"]

AWKWARD = 'snow ☃, \u2028 and \u2029 and \x85, a "quote", a \\, a\nline, a \udfff half, and 🎉'
logger = logging.getLogger("app.tests")


def add_answering_models(pipelines: Pipelines) -> None:
    """Register the models of this file by their names."""
    models = (
        *(function, async_function, async_generator, usage, burst, weather, two_calls, extras, awkward, nothing),
        *(request, echo_function, echo_generator, echo_async_generator, logs),
    )
    for model in models:
        pipelines.add(model.__name__.replace("_", "-"), model)
    pipelines.add("generator", generator, owned_by="the tests", created=1700000000)
    pipelines.add("organisation/model", function)


def function(model: str, messages: Messages, body: Body) -> str:
    return "Hello, world"


async def async_function(model: str, messages: Messages, body: Body) -> str:
    return "Hello, world"


def generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield "Hello"
    yield ", world"


async def async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    yield "Hello"
    await asyncio.sleep(0)
    yield ", world"


async def usage(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Usage]:
    yield "Hello, world"
    yield Usage(prompt_tokens=3, completion_tokens=2)


async def burst(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    for number in range(100):
        yield f"{number} "


def weather(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """Yield JSON in the requested schema, whose fields are a city and a temperature."""
    city, temperature = body["response_format"]["json_schema"]["schema"]["properties"]
    yield f'{{"{city}": "Paris", '
    yield f'"{temperature}": 21}}'


async def two_calls(model: str, messages: Messages, body: Body) -> AsyncIterator[Delta]:
    """Yield two tool calls whose arguments interleave."""
    for index, (call_id, name) in enumerate((("call_a", "first"), ("call_b", "second"))):
        function = FunctionCallDelta(name=name, arguments="")
        yield Delta(tool_calls=[ToolCallDelta(index=index, id=call_id, type="function", function=function)])
    for part in ('{"x":', " 1}"):
        for index in (0, 1):
            yield Delta(tool_calls=[ToolCallDelta(index=index, function=FunctionCallDelta(arguments=part))])


def extras(model: str, messages: Messages, body: Body) -> dict[str, Any]:
    """Return a completion with fields that OpenAI does not have, at each level."""
    message = {"role": "assistant", "content": "Hello, world", "citations": [{"title": "A book"}]}
    return {"choices": [{"message": message, "finish_reason": "length", "score": 0.5}], "sources": ["a", "b"]}


def awkward(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield from AWKWARD


def nothing(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield from ()


def request(model: str, messages: Messages, body: Body, headers: Mapping[str, str]) -> str:
    """Return the request as the service sees it."""
    return json.dumps({"model": model, "messages": messages, "body": body, "headers": dict(headers)})


def echo_function(model: str, messages: Messages, body: Body) -> str:
    return str(messages[-1].get("content"))


def echo_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """Yield the prompt word by word."""
    for word in echo_function(model, messages, body).split():
        time.sleep(0)  # lets other threads run
        yield f"{word} "


async def echo_async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    for word in echo_function(model, messages, body).split():
        await asyncio.sleep(0)
        yield f"{word} "


def logs(model: str, messages: Messages, body: Body) -> str:
    """Log a line from a thread."""
    logger.warning("The model was asked: %s", messages[-1].get("content"))
    return "Logged"
