"""Models that last: they wait at their run's gate or go on for ever, and note what happens to them."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from app.engine.run import is_cancelled
from app.registry import Pipelines
from app.services import Body, Messages
from tests.template.e2e.journal import run_of

__all__ = ["FLOOD", "TORRENT_ITEM", "add_waiting_models"]

FLOOD = 4000  # items of 16 kB: 64 MB, far more than all buffers between the server and a client hold
ITEM = "x" * 16384
TORRENT_ITEM = "y" * 4096
HELD: list[object] = []


def add_waiting_models(pipelines: Pipelines) -> None:
    """Register the models of this file."""
    pipelines.add("gated-async-generator", gated_async_generator)
    pipelines.add("gated-generator", gated_generator)
    pipelines.add("late-async-generator", late_async_generator)
    pipelines.add("late-generator", late_generator)
    pipelines.add("late-failure", late_failure)
    pipelines.add("gated-async-function", gated_async_function)
    pipelines.add("blocking-function", blocking_function)
    pipelines.add("endless-async-generator", endless_async_generator)
    pipelines.add("endless-generator", endless_generator)
    pipelines.add("held-generator", held_generator)
    pipelines.add("brief", brief)
    pipelines.add("brief-generator", brief_generator)
    pipelines.add("hog", hog)
    pipelines.add("torrent", torrent)
    pipelines.add("async-torrent", async_torrent)
    pipelines.add("flood", flood)
    pipelines.add("async-flood", async_flood)
    pipelines.add("faithful-async-generator", endless_async_generator, outlives_client=True)
    pipelines.add("faithful-generator", endless_generator, outlives_client=True)
    pipelines.add("faithful-async-function", gated_async_function, outlives_client=True)
    pipelines.add("faithful-hog", hog, outlives_client=True)


async def gated_async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    """One item, the gate, another item."""
    run = run_of(messages)
    run.note("started")
    try:
        yield "first"
        await run.wait()
        yield " second"
        run.note("finished")
    finally:
        await asyncio.sleep(0)  # cleaning up may await
        run.note("closed")


def gated_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """The same in a thread."""
    run = run_of(messages)
    run.note("started")
    try:
        yield "first"
        run.note("blocked")
        run.block()
        yield " second"
        run.note("finished")
    finally:
        run.note("closed")


async def late_async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    """The gate before the first item."""
    run = run_of(messages)
    run.note("started")
    try:
        await run.wait()
        yield "first"
    finally:
        run.note("closed")


def late_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """The same in a thread."""
    run = run_of(messages)
    run.note("started")
    try:
        run.block()
        yield "first"
        run.note("finished")
    finally:
        run.note("closed")


async def late_failure(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    """The gate, then an error instead of a first item."""
    await run_of(messages).wait()
    if messages:
        raise RuntimeError("It failed late")
    yield "never"


async def gated_async_function(model: str, messages: Messages, body: Body) -> str:
    run = run_of(messages)
    run.note("started")
    try:
        await run.wait()
        run.note("finished")
        return "first second"
    finally:
        await asyncio.sleep(0)
        run.note("closed")


def blocking_function(model: str, messages: Messages, body: Body) -> str:
    """Work in a thread that asks now and then whether anybody still wants it."""
    run = run_of(messages)
    run.note("started")
    while not is_cancelled():
        time.sleep(0.01)
    run.note("cancelled")
    return "nobody reads this"


async def endless_async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    """Item after item, until the gate is opened."""
    run = run_of(messages)
    run.note("started")
    try:
        while not run.is_open:
            run.items += 1
            yield "more "
            await asyncio.sleep(0.01)
        run.note("finished")
    finally:
        run.note("closed")


def endless_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """The same in a thread."""
    run = run_of(messages)
    run.note("started")
    try:
        while not run.is_open:
            run.items += 1
            yield "more "
            time.sleep(0.01)
        run.note("finished")
    finally:
        run.note("closed")


def held_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """A generator that is never garbage, as somebody keeps it."""
    generator = endless_generator(model, messages, body)
    HELD.append(generator)
    return generator


async def brief(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    """A few items, which take about a second."""
    for number in range(50):
        yield f"{number} "
        await asyncio.sleep(0.02)


def brief_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """The same in a thread."""
    for number in range(50):
        yield f"{number} "
        time.sleep(0.02)


async def hog(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    """An async generator that never awaits, until the gate is opened."""
    run = run_of(messages)
    run.note("started")
    try:
        while not run.is_open:
            run.items += 1
            yield "more "
        run.note("finished")
    finally:
        run.note("closed")


def torrent(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """As much as anybody takes, without an end, until the gate is opened."""
    run = run_of(messages)
    run.note("started")
    try:
        while not run.is_open:
            run.items += 1
            yield TORRENT_ITEM
    finally:
        run.note("closed")


async def async_torrent(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    """The same on the event loop."""
    for item in torrent(model, messages, body):
        yield item


def flood(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """More than a client that doesn't read can take."""
    run = run_of(messages)
    try:
        for run.items in range(1, FLOOD + 1):
            yield ITEM
    finally:
        run.note("closed")


async def async_flood(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    """The same on the event loop."""
    for item in flood(model, messages, body):
        yield item
