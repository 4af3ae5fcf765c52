"""A completion on its way: silence, several items in one write, and a client that leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.engine.buffer import Buffer
from app.engine.chat import ChatRenderer
from app.engine.completion import Completion
from app.engine.frames import DONE, KEEP_ALIVE
from app.engine.observers import Record
from app.engine.results import Item, ItemReader, text_of
from app.engine.run import Run
from app.engine.threads import Workers
from app.errors import ClientDisconnectedError, CompletionError
from schemas.chat import ChatCompletionRequest

pytestmark = pytest.mark.anyio
PATIENCE = 10.0  # seconds after which a test gives up


def completion_of(
    produce: Callable[[Buffer[Item]], Awaitable[None]], *, idle: float = 0, outlives_client: bool = False
) -> Completion:
    return Completion(
        produce,
        buffer=Buffer(8, idle=idle),
        renderer=ChatRenderer(ChatCompletionRequest(model="test", messages=[]), ItemReader(text_of, ())),
        run=Run(Workers(1), outlives_client=outlives_client),
        record=Record(model="test", stream=True),
    )


async def test_a_silent_stream_sends_comments_until_its_service_speaks() -> None:
    speak = asyncio.Event()

    async def produce(buffer: Buffer[Item]) -> None:
        await speak.wait()
        buffer.put("Hello!")

    frames = completion_of(produce, idle=0.01).frames()

    assert [await anext(frames), await anext(frames)] == [KEEP_ALIVE, KEEP_ALIVE]
    speak.set()
    rest = b"".join([each async for each in frames])
    assert b'"content":"Hello!"' in rest
    assert rest.endswith(DONE)


async def test_an_error_after_a_comment_is_a_frame() -> None:
    fail = asyncio.Event()

    async def produce(buffer: Buffer[Item]) -> None:
        await fail.wait()
        raise CompletionError("Sorry.", status=418)

    frames = completion_of(produce, idle=0.01).frames()

    assert await anext(frames) == KEEP_ALIVE
    fail.set()
    rest = b"".join([each async for each in frames]).replace(KEEP_ALIVE, b"")
    assert rest.startswith(b'data: {"error":{"message":"Sorry."')
    assert rest.endswith(DONE)


async def test_items_that_wait_together_go_out_in_one_write() -> None:
    async def produce(buffer: Buffer[Item]) -> None:
        for text in "abc":
            buffer.put(text)

    (written,) = [each async for each in completion_of(produce).frames()]

    assert written.count(b"data: ") == 6


class Service:
    """Waits for nothing that ever comes, and notes how it ends."""

    def __init__(self) -> None:
        self.ended_by: list[type[BaseException]] = []

    async def __call__(self, buffer: Buffer[Item]) -> None:
        try:
            buffer.put("Hello!")
            await asyncio.Event().wait()
        except BaseException as error:
            self.ended_by.append(type(error))
            raise


async def at_once() -> None:
    """A client that leaves at once."""


async def test_a_service_is_stopped_when_its_client_leaves_a_whole_completion() -> None:
    service = Service()
    completion = completion_of(service)
    completion.watch(at_once)

    with pytest.raises(ClientDisconnectedError):
        await completion.collect()

    assert service.ended_by == [asyncio.CancelledError]


async def test_a_service_is_stopped_when_its_stream_is_closed() -> None:
    service = Service()
    ended: list[Any] = []
    completion = completion_of(service)
    completion.when_done(ended.append)
    frames = completion.frames()
    await anext(frames)

    await frames.aclose()

    assert service.ended_by == [asyncio.CancelledError]
    assert ended == [completion]


async def test_a_service_that_outlives_its_client_runs_to_its_end() -> None:
    produced: list[int] = []

    async def produce(buffer: Buffer[Item]) -> None:
        for number in range(100):
            await buffer.send("more than there is room for")
            produced.append(number)

    left = asyncio.Event()

    async def disconnected() -> None:
        left.set()

    completion = completion_of(produce, outlives_client=True)
    completion.watch(disconnected)
    frames = completion.frames()
    await anext(frames)
    await asyncio.wait_for(left.wait(), PATIENCE)
    sent = b"".join([each async for each in frames])

    assert produced == list(range(100))
    assert sent.endswith(b"data: [DONE]\n\n")
    assert completion.record.ended == "client_left"


async def test_a_service_that_does_not_end_when_told_to_is_left_behind() -> None:
    leave = asyncio.Event()

    async def produce(buffer: Buffer[Item]) -> None:
        buffer.put("Hello!")
        while not leave.is_set():
            try:
                await leave.wait()
            except asyncio.CancelledError:
                continue

    completion = completion_of(produce)
    frames = completion.frames()
    await anext(frames)

    await frames.aclose()

    assert not completion.done
    leave.set()
