"""When the parts of a stream are sent: seen at ASGI, where a test takes one message after another."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import repeat
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
from litestar import Litestar

from tests.conftest import PATIENCE, SERVER_ERROR
from tests.template.asgi import AsgiClient, running, until

pytestmark = pytest.mark.anyio

KEEP_ALIVE = b": keep-alive\n\n"
MANY = 10_000  # items, many more than may wait for a client
ENDLESS = 1_000_000  # items, which take seconds
Model: TypeAlias = Callable[..., Any]


class Run:
    """What happens to a model, and the gate at which it waits until the test opens it."""

    def __init__(self) -> None:
        self.at_gate, self.gate, self.closed = threading.Event(), threading.Event(), threading.Event()
        self.made = 0
        self.threads: set[threading.Thread] = set()

    def sync(self, items: Iterable[str | None]) -> Model:
        """Return a model that yields these items from a thread, and waits at the gate where one is None."""

        def model(model: str, messages: object, body: object) -> Iterator[str]:
            try:
                for item in items:
                    self.threads.add(threading.current_thread())
                    if item is None:
                        self.at_gate.set()
                        assert self.gate.wait(PATIENCE)
                    else:
                        self.made += 1
                        yield item
            finally:
                self.threads.add(threading.current_thread())
                self.closed.set()

        return model

    def on_loop(self, items: Iterable[str | None]) -> Model:
        """Return the same as an async generator, which awaits nothing but the gate."""

        async def model(model: str, messages: object, body: object) -> AsyncIterator[str]:
            try:
                for item in items:
                    if item is None:
                        self.at_gate.set()
                        await until(self.gate.is_set)
                    else:
                        self.made += 1
                        yield item
            finally:
                await asyncio.sleep(0)  # a clean-up that a second cancellation would interrupt
                self.closed.set()

        return model


both = pytest.mark.parametrize("kind", [Run.sync, Run.on_loop])


class Exchange(AsgiClient):
    """A request for a stream; the server waits with each message until the client has taken the one before."""

    def __init__(self, app: Litestar) -> None:
        self._messages: asyncio.Queue[Any] = asyncio.Queue(1)
        self.ended = False
        super().__init__(app, stream=True)

    async def status(self) -> int:
        """Take the status."""
        status: int = (await self._take())["status"]
        return status

    async def frames(self) -> bytes:
        """Take the next bytes."""
        message = await self._take()
        self.ended = not message["more_body"]
        frames: bytes = message["body"]
        return frames

    async def until(self, mark: bytes) -> bytes:
        """Take bytes until the mark is in them."""
        received = b""
        while mark not in received:
            received += await self.frames()
        return received

    async def rest(self) -> bytes:
        """Take all bytes up to the end."""
        rest = b""
        while not self.ended:
            rest += await self.frames()
        return rest

    async def is_silent(self) -> bool:
        """Return whether nothing was sent, after some turns of the loop."""
        for _ in range(20):
            await asyncio.sleep(0)
        return self._messages.empty()

    def leave(self) -> None:
        """Disconnect, and take the message that waits."""
        super().leave()
        while not self._messages.empty():
            self._messages.get_nowait()

    async def _take(self) -> Any:
        async with asyncio.timeout(PATIENCE):
            return await self._messages.get()

    async def _send(self, message: Any) -> None:
        if not self._left.is_set():
            await self._messages.put(message)


@asynccontextmanager
async def exchange(model: Model, **settings: Any) -> AsyncIterator[Exchange]:
    """Ask a model for a stream, and leave at the end."""
    async with running(model, **{"keep_alive_interval": 0, **settings}) as app, Exchange(app) as asked:
        yield asked


def deltas_in(frames: bytes) -> list[dict[str, Any]]:
    """Return the deltas of the chunks in some frames."""
    data = [frame.removeprefix(b"data: ") for frame in frames.split(b"\n\n") if frame.startswith(b"data: {")]
    return [choice["delta"] for each in data for choice in json.loads(each)["choices"]]


@both
async def test_the_status_is_not_sent_before_the_first_item(kind: Callable[..., Model]) -> None:
    run = Run()
    async with exchange(kind(run, [None, "first"])) as asked:
        await until(run.at_gate.is_set)
        assert await asked.is_silent()

        run.gate.set()
        assert await asked.status() == 200
        assert (await asked.rest()).endswith(b"data: [DONE]\n\n")


@both
@pytest.mark.parametrize("before", [[], ["first"]], ids=["before the first item", "between items"])
async def test_an_idle_stream_gets_comments_until_its_next_item(kind: Callable[..., Model], before: list[str]) -> None:
    run = Run()
    async with exchange(kind(run, [*before, None, "second"]), keep_alive_interval=0.01) as asked:
        assert await asked.status() == 200
        received = await asked.until(b'"first"') if before else b""
        received += await asked.until(KEEP_ALIVE) + await asked.until(KEEP_ALIVE)
        run.gate.set()
        rest = await asked.rest()

    assert deltas_in(received) == [{"role": "assistant", "content": ""}, {"content": "first"}][: 2 * len(before)]
    assert [delta for delta in deltas_in(rest) if "role" not in delta] == [{"content": "second"}, {}]


@pytest.mark.parametrize("settings", [{}, {"keep_alive_interval": 0.01}], ids=["at once", "after a comment"])
async def test_an_error_instead_of_a_late_first_item_is_one_of_http_unless_a_comment_was_sent(
    settings: dict[str, float],
) -> None:
    run = Run()

    async def failing(model: str, messages: object, body: object) -> AsyncIterator[str]:
        run.at_gate.set()
        await until(run.gate.is_set)
        yield str(1 // 0)

    async with exchange(failing, **settings) as asked:
        await until(run.at_gate.is_set)
        if settings:
            assert await asked.status() == 200
            assert await asked.frames() == KEEP_ALIVE
        run.gate.set()
        if not settings:
            assert await asked.status() == 500
        error, *end = (await asked.rest()).replace(KEEP_ALIVE, b"").split(b"\n\n")

    assert json.loads(error.removeprefix(b"data: "))["error"]["message"] == SERVER_ERROR
    assert end == ([b"data: [DONE]", b""] if settings else [])


@both
async def test_chunks_that_wait_together_are_sent_together(kind: Callable[..., Model]) -> None:
    run = Run()
    async with exchange(kind(run, ["item"] * 100)) as asked:
        assert await asked.status() == 200
        await until(run.closed.is_set)  # all items wait for the client by now
        writes: list[bytes] = []
        while not asked.ended:
            writes.append(await asked.frames())

    assert deltas_in(b"".join(writes)) == [{"role": "assistant", "content": ""}, *[{"content": "item"}] * 100, {}]
    assert len(writes) <= 10


@both
async def test_a_generator_is_never_far_ahead_of_its_client(kind: Callable[..., Model]) -> None:
    run = Run()
    async with exchange(kind(run, ["item"] * MANY)) as asked:
        assert await asked.status() == 200
        received = 0
        while not asked.ended:
            frames = await asked.frames()
            await asked.is_silent()  # gives the generator time to go on
            received += len(deltas_in(frames))
            assert run.made - received < 1000
    assert (run.made, received) == (MANY, MANY + 2)


@both
async def test_a_generator_is_closed_when_its_client_leaves_a_sync_one_in_its_thread(
    kind: Callable[..., Model],
) -> None:
    run = Run()
    model = kind(run, repeat("item", ENDLESS))
    kept: list[object] = []

    def keeping(*arguments: Any) -> object:
        kept.append(model(*arguments))  # so that the generator is never garbage
        return kept[0]

    async with exchange(keeping) as asked:
        assert await asked.status() == 200
        await asked.frames()
        assert not run.closed.is_set()

        asked.leave()
        await until(run.closed.is_set)

    assert run.made < ENDLESS
    assert len(run.threads) == (1 if kind is Run.sync else 0)
    assert threading.main_thread() not in run.threads


async def test_what_a_sync_function_returns_to_a_client_that_has_left_is_closed() -> None:
    run = Run()
    closed = threading.Event()

    class Items(SimpleNamespace):
        def close(self) -> None:
            closed.set()

    def model(model: str, messages: object, body: object) -> Items:
        run.at_gate.set()
        assert run.gate.wait(PATIENCE)
        return Items()

    async with exchange(model) as asked:
        await until(run.at_gate.is_set)
        asked.leave()
        await asyncio.wait_for(asked.served, PATIENCE)
        run.gate.set()
        await until(closed.is_set)
