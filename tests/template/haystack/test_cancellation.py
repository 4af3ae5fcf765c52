"""A client that leaves or reads slowly stops or slows the components that work for it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
from haystack import Pipeline
from haystack.components.agents import Agent

from app.haystack.model import HaystackModel, haystack_component, haystack_pipeline
from tests.template.asgi import AsgiClient, running, until
from tests.template.e2e.journal import Run
from tests.template.haystack.endless import AsyncEndless, AsyncGate, SyncEndless, SyncGate
from tests.template.haystack.generators import AsyncGenerator, each_mode, says

pytestmark = pytest.mark.anyio

MANY = 500  # chunks: more than may wait for a client

Endless: TypeAlias = type[AsyncEndless] | type[SyncEndless]
Gate: TypeAlias = type[AsyncGate] | type[SyncGate]
Place: TypeAlias = Callable[[Any], HaystackModel]


def in_a_pipeline(generator: Any) -> HaystackModel:
    pipeline = Pipeline()
    pipeline.add_component("first", AsyncGenerator(says("Go on")))
    pipeline.add_component("llm", generator)
    pipeline.connect("first.replies", "llm.messages")
    return haystack_pipeline(pipeline)


def in_an_agent(generator: Any) -> HaystackModel:
    return haystack_component(Agent(chat_generator=generator))


each_endless = pytest.mark.parametrize("endless", [AsyncEndless, SyncEndless])
each_place = pytest.mark.parametrize("place", [haystack_component, in_a_pipeline, in_an_agent])


@pytest.fixture
def run() -> Iterator[Run]:
    run = Run()
    yield run
    run.gate.set()  # whatever a failed test has left at work


@each_mode
@each_endless
@each_place
async def test_a_generator_is_stopped_when_its_client_leaves(
    run: Run, endless: Endless, place: Place, stream: bool
) -> None:
    async with running(place(endless(run))) as app:
        before = asyncio.all_tasks()
        async with AsgiClient(app, stream=stream) as client:
            await until(lambda: b"more" in client.received if stream else run.items)

        await until(lambda: "closed" in run.events and asyncio.all_tasks() <= before)
        assert (run.events, run.errors) == (["started", "closed"], ["CancelledError"])


@each_mode
@pytest.mark.parametrize("gate", [AsyncGate, SyncGate])
async def test_a_pipeline_is_stopped_between_two_components(run: Run, gate: Gate, stream: bool) -> None:
    generator = AsyncGenerator(says("Never"))
    pipeline = Pipeline()
    pipeline.add_component("gate", gate(run))
    pipeline.add_component("llm", generator)
    pipeline.connect("gate.messages", "llm.messages")

    async with running(haystack_pipeline(pipeline)) as app:
        async with AsgiClient(app, stream=stream):
            await until(lambda: "started" in run.events)
        run.gate.set()
        await until(lambda: "closed" in run.events)

    assert run.events == ["started", *(["finished"] if gate is SyncGate else []), "closed"]
    assert run.errors == (["CancelledError"] if gate is AsyncGate else [])
    assert not generator.asked


@each_mode
@each_endless
async def test_a_model_that_outlives_its_client_runs_to_its_end(run: Run, endless: Endless, stream: bool) -> None:
    async with running(haystack_component(endless(run)), outlives_client=True) as app:
        async with AsgiClient(app, stream=stream) as client:
            await until(lambda: run.items)
            client.leave()
            seen = run.items
            await until(lambda: run.items > seen + MANY)
            run.gate.set()
        await until(lambda: "closed" in run.events)

    assert run.events == ["started", "finished", "closed"]


@each_endless
async def test_a_client_that_reads_slowly_slows_the_generator_down_and_misses_nothing(
    run: Run, endless: Endless
) -> None:
    async with running(haystack_component(endless(run, pause=0))) as app, AsgiClient(app, stream=True) as client:
        await until(lambda: b"more" in client.received)
        client.reads.clear()
        for _ in range(MANY):
            await asyncio.sleep(0.0001)  # in which an unhindered generator makes several chunks
        seen, received = run.items, client.received.count(b"more")
        assert seen - received < MANY

        client.reads.set()
        await until(lambda: run.items > seen + MANY)
        run.gate.set()
        await until(lambda: client.received.endswith(b"data: [DONE]\n\n"))
        assert client.received.count(b"more ") == run.items
