"""Models that wait at the gate of their run, or go on until it is opened."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from app.engine.run import is_cancelled
from app.registry import Pipelines
from app.services import Body, Messages
from tests.template.e2e.journal import noted, run_of

__all__ = ["FLOOD", "add_waiting_models"]

FLOOD = 4000  # items of 16 kB: 64 MB, far more than all buffers between the server and a client hold
ITEM = "x" * 16384
KEPT: list[object] = []


def add_waiting_models(pipelines: Pipelines) -> None:
    """Register the models of this file by their names, and some of them again as ones that outlive their client."""
    for model in (
        *(gated_async_generator, gated_generator, late_async_generator, late_generator, late_failure, brief),
        *(gated_async_function, blocking_function, stubborn_function, held_generator, flood, async_flood),
        *(endless_async_generator, endless_generator, hog),
    ):
        pipelines.add(model.__name__.replace("_", "-"), model)
    pipelines.add("faithful-async-generator", endless_async_generator, outlives_client=True)
    pipelines.add("faithful-generator", endless_generator, outlives_client=True)
    pipelines.add("faithful-async-function", gated_async_function, outlives_client=True)
    pipelines.add("faithful-hog", hog, outlives_client=True)


async def gated_async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    with noted(messages) as run:
        try:
            yield "first"
            await run.wait()
            yield " second"
        finally:
            await asyncio.sleep(0)  # cleaning up may await


def gated_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    with noted(messages) as run:
        yield "first"
        run.note("blocked")
        run.block()
        yield " second"


async def late_async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    with noted(messages) as run:
        await run.wait()
        yield "first"


def late_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    with noted(messages) as run:
        run.block()
        yield "first"


async def late_failure(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    await run_of(messages).wait()
    if messages:
        raise RuntimeError("It failed late")
    yield "never"


async def gated_async_function(model: str, messages: Messages, body: Body) -> str:
    with noted(messages) as run:
        while not run.is_open:
            run.items += 1
            await asyncio.sleep(0.01)
    return "first second"


def blocking_function(model: str, messages: Messages, body: Body) -> str:
    """Block a thread until the completion is stopped."""
    with noted(messages):
        while not is_cancelled():
            time.sleep(0.01)
    return "nobody reads this"


async def stubborn_function(model: str, messages: Messages, body: Body) -> str:
    """Ignore every cancellation until the gate is opened."""
    with noted(messages) as run:
        while not run.is_open:
            try:
                await run.wait()
            except asyncio.CancelledError:
                run.note("cancelled")
    return "nobody reads this"


async def endless_async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    with noted(messages) as run:
        while not run.is_open:
            run.items += 1
            yield "more "
            await asyncio.sleep(0.01)


def endless_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    with noted(messages) as run:
        while not run.is_open:
            run.items += 1
            yield "more "
            time.sleep(0.01)


async def hog(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    """Yield item after item, and never await."""
    with noted(messages) as run:
        while not run.is_open:
            run.items += 1
            yield "more "


def held_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """Return a generator that is never garbage, as a reference to it is kept."""
    KEPT.append(generator := endless_generator(model, messages, body))
    return generator


async def brief(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    """Yield a few items, which takes about a second."""
    for number in range(50):
        yield f"{number} "
        await asyncio.sleep(0.02)


def flood(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """Yield more than a client that does not read can take."""
    run = run_of(messages)
    try:
        for run.items in range(1, FLOOD + 1):
            yield ITEM
    finally:
        run.note("closed")


async def async_flood(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    for item in flood(model, messages, body):
        yield item
