"""A client that leaves, or reads slowly: what becomes of the components that work for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
from haystack import Pipeline
from haystack.components.agents import Agent

from app.engine.buffer import Buffer
from app.engine.chat import ChatRenderer
from app.engine.completion import Completion
from app.engine.frames import DONE
from app.engine.observers import Record
from app.engine.results import Item, ItemReader, put_items, text_of
from app.engine.run import Run as Context
from app.engine.threads import Workers
from app.errors import ClientDisconnectedError
from app.haystack.model import HaystackModel, haystack_component, haystack_pipeline
from schemas.chat import ChatCompletionRequest
from tests.template.e2e.journal import Run
from tests.template.haystack.endless import AsyncEndless, AsyncGate, RunOf, SyncEndless, SyncGate
from tests.template.haystack.generators import AsyncGenerator, says

pytestmark = pytest.mark.anyio

LIMIT = 8  # items that may wait for the client
MANY = 500
PATIENCE = 30.0  # seconds after which a test gives up

Endless: TypeAlias = type[AsyncEndless] | type[SyncEndless]
Gate: TypeAlias = type[AsyncGate] | type[SyncGate]
ModelOf: TypeAlias = Callable[[Endless, RunOf], HaystackModel]


def alone(kind: Endless, run_of: RunOf) -> HaystackModel:
    return haystack_component(kind(run_of))


def in_a_pipeline(kind: Endless, run_of: RunOf) -> HaystackModel:
    pipeline = Pipeline()
    pipeline.add_component("first", AsyncGenerator(says("Go on")))
    pipeline.add_component("llm", kind(run_of))
    pipeline.connect("first.replies", "llm.messages")
    return haystack_pipeline(pipeline)


def in_an_agent(kind: Endless, run_of: RunOf) -> HaystackModel:
    return haystack_component(Agent(chat_generator=kind(run_of)))


each_kind = pytest.mark.parametrize("kind", [AsyncEndless, SyncEndless])
each_place = pytest.mark.parametrize("model_of", [alone, in_a_pipeline, in_an_agent])


@pytest.fixture
def run() -> Run:
    return Run()


def completion_of(model: HaystackModel, *, stream: bool, outlives_client: bool = False) -> Completion:
    """What the engine makes of a request to the model."""

    async def produce(buffer: Buffer[Item]) -> None:
        await put_items(await model("test", [{"role": "user", "content": "Hi"}], {"stream": stream}), buffer)

    return Completion(
        produce,
        buffer=Buffer(LIMIT, idle=0),
        renderer=ChatRenderer(ChatCompletionRequest(model="test", messages=[]), ItemReader(text_of, ())),
        run=Context(Workers(1), outlives_client=outlives_client),
        record=Record(model="test", stream=stream),
    )


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not happened():  # noqa: ASYNC110 - nothing here sets an event
            await asyncio.sleep(0.001)


async def taken_from(completion: Completion) -> None:
    """Take all that it makes, as the response to a client does that has left or not."""
    if not completion.record.stream:
        await completion.collect()
        return
    async for _ in completion.frames():
        pass


def leaving_after(run: Run) -> Callable[[], Awaitable[None]]:
    """A client that leaves as soon as something works for it."""

    async def disconnected() -> None:
        await until(lambda: "started" in run.events)

    return disconnected


@each_kind
@each_place
async def test_a_generator_is_stopped_when_its_client_leaves_a_stream(
    run: Run, kind: Endless, model_of: ModelOf
) -> None:
    frames = completion_of(model_of(kind, lambda _: run), stream=True).frames()
    await anext(frames)

    await frames.aclose()

    await until(lambda: "closed" in run.events)
    assert run.events == ["started", "CancelledError", "closed"]


@each_kind
@each_place
async def test_a_generator_is_stopped_when_its_client_leaves_that_waits_for_the_whole(
    run: Run, kind: Endless, model_of: ModelOf
) -> None:
    completion = completion_of(model_of(kind, lambda _: run), stream=False)
    completion.watch(leaving_after(run))

    with pytest.raises(ClientDisconnectedError):
        await completion.collect()

    await until(lambda: "closed" in run.events)
    assert run.events == ["started", "CancelledError", "closed"]


async def test_an_async_generator_has_cleaned_up_when_the_stream_is_closed(run: Run) -> None:
    frames = completion_of(alone(AsyncEndless, lambda _: run), stream=True).frames()
    await anext(frames)

    await frames.aclose()

    assert run.events == ["started", "CancelledError", "closed"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", [AsyncGate, SyncGate])
async def test_a_pipeline_is_stopped_between_two_components(run: Run, kind: Gate, stream: bool) -> None:
    generator = AsyncGenerator(says("Never"))
    pipeline = Pipeline()
    pipeline.add_component("gate", kind(lambda _: run))
    pipeline.add_component("llm", generator)
    pipeline.connect("gate.messages", "llm.messages")
    completion = completion_of(haystack_pipeline(pipeline), stream=stream)
    await until(lambda: "started" in run.events)

    await completion.close()
    run.open()

    await until(lambda: "closed" in run.events)
    await until(lambda: completion.done)
    assert run.events == ["started", "CancelledError" if kind is AsyncGate else "finished", "closed"]
    assert not generator.asked


@pytest.mark.parametrize("stream", [False, True])
@each_kind
@each_place
async def test_a_model_that_outlives_its_client_runs_to_its_end(
    run: Run, kind: Endless, model_of: ModelOf, stream: bool
) -> None:
    completion = completion_of(model_of(kind, lambda _: run), stream=stream, outlives_client=True)
    completion.watch(leaving_after(run))
    taking = asyncio.create_task(taken_from(completion))

    await until(lambda: completion.record.ended == "client_left" and run.items > 3 * LIMIT)
    run.open()

    await taking
    assert run.events == ["started", "finished", "closed"]


@each_kind
async def test_a_slow_reader_slows_the_generator_down(run: Run, kind: Endless) -> None:
    frames = completion_of(haystack_component(kind(lambda _: run, pause=0)), stream=True).frames()
    await anext(frames)

    await until(lambda: run.items >= LIMIT)
    for _ in range(MANY):  # turns of the loop in which the generator would make an item each
        await asyncio.sleep(0)
    made = run.items
    assert made <= 2 * LIMIT + 2  # those that were sent at first, those that wait, and one in hand
    await anext(frames)
    await until(lambda: run.items > made)

    await frames.aclose()
    await until(lambda: "closed" in run.events)


@each_kind
async def test_a_reader_that_goes_on_gets_everything(run: Run, kind: Endless) -> None:
    frames = completion_of(haystack_component(kind(lambda _: run, pause=0)), stream=True).frames()

    received = b""
    async for frame in frames:
        received += frame
        if run.items > MANY:
            run.open()

    assert received.count(b"more ") == run.items
    assert received.endswith(DONE)
