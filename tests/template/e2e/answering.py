"""Models that answer at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from app.registry import Pipelines
from app.services import Body, Messages
from schemas.chat import Delta, FunctionCallDelta, ToolCallDelta

__all__ = ["add_answering_models"]


def add_answering_models(pipelines: Pipelines) -> None:
    """Register the models of this file by their names."""
    models = (
        *(function, generator, async_generator, burst, two_calls),
        *(echo_function, echo_generator, echo_async_generator),
    )
    for model in models:
        pipelines.add(model.__name__.replace("_", "-"), model)


def function(model: str, messages: Messages, body: Body) -> str:
    return "Hello, world"


def generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield "Hello"
    yield ", world"


async def async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    yield "Hello"
    await asyncio.sleep(0)
    yield ", world"


async def burst(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    for number in range(100):
        yield f"{number} "


async def two_calls(model: str, messages: Messages, body: Body) -> AsyncIterator[Delta]:
    """Yield two tool calls whose arguments interleave."""
    for index, (call_id, name) in enumerate((("call_a", "first"), ("call_b", "second"))):
        function = FunctionCallDelta(name=name, arguments="")
        yield Delta(tool_calls=[ToolCallDelta(index=index, id=call_id, type="function", function=function)])
    for part in ('{"x":', " 1}"):
        for index in (0, 1):
            yield Delta(tool_calls=[ToolCallDelta(index=index, function=FunctionCallDelta(arguments=part))])


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
