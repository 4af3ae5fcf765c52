"""A result that calls back: whole, as a stream, at the client's pace, and no longer than it is wanted."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.engine.buffer import Buffer
from app.engine.results import CallbackStream, Item
from app.engine.run import run_sync
from tests.conftest import SERVER_ERROR, Serve, ask, chunks_of, error_of, returning
from tests.template.conftest import completion, stream

WORDS = ["one ", "two ", "three"]


async def on_the_loop(buffer: Buffer[Item]) -> None:
    for word in WORDS:
        await buffer.send(word)


async def in_a_thread(buffer: Buffer[Item]) -> None:
    def calling_back() -> None:
        for word in WORDS:
            assert buffer.put_from_thread(word)

    await run_sync(calling_back)


both = pytest.mark.parametrize("run", [on_the_loop, in_a_thread])


@both
def test_it_is_collected(serve: Serve, run: Callable[[Buffer[Item]], Awaitable[None]]) -> None:
    client = serve(returning(CallbackStream(run)))

    assert ask(client).json() == completion("one two three")


@both
def test_it_is_streamed(serve: Serve, run: Callable[[Buffer[Item]], Awaitable[None]]) -> None:
    client = serve(returning(CallbackStream(run)))

    assert chunks_of(ask(client, stream=True)) == stream(*({"content": word} for word in WORDS))


@both
def test_a_long_one_waits_for_its_client(serve: Serve, run: Callable[[Buffer[Item]], Awaitable[None]]) -> None:
    async def many(buffer: Buffer[Item]) -> None:
        for _ in range(500):
            await run(buffer)

    client = serve(returning(CallbackStream(many)))

    assert ask(client).json() == completion("one two three" * 500)


def test_an_error_before_the_first_item_is_one_of_http(serve: Serve) -> None:
    async def fail(buffer: Buffer[Item]) -> None:
        raise RuntimeError("secret")

    response = ask(serve(returning(CallbackStream(fail))), stream=True)

    assert response.status_code == 500
    assert error_of(response)["message"] == SERVER_ERROR


def test_an_error_after_it_is_a_frame(serve: Serve) -> None:
    async def fail(buffer: Buffer[Item]) -> None:
        await buffer.send("one")
        await asyncio.sleep(0)
        raise RuntimeError("secret")

    *_, last = chunks_of(ask(serve(returning(CallbackStream(fail))), stream=True))

    assert last["error"]["message"] == SERVER_ERROR
