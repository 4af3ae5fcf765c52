"""The end of a server: no new completions, and those at work are told."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.engine.completion import Completion
from app.engine.engine import Engine, Limits, ModelDefaults, Services
from app.engine.frames import DONE
from app.errors import OverloadedError
from app.services import Body, Hooks, Messages

pytestmark = pytest.mark.anyio
SHUTTING_DOWN = "The server is shutting down"


class Service:
    """Says one word, and waits until it may say the other."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.cleaned_up = False

    async def complete(self, model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        try:
            yield "Hello"
            await self.go_on.wait()
            yield "!"
        finally:
            self.cleaned_up = True

    def list_models(self) -> list[str]:
        return ["test"]


async def connected() -> None:
    """A client that stays."""
    await asyncio.Event().wait()


async def start(engine: Engine, service: Service, *, stream: bool = False) -> Completion:
    body = {"model": "test", "messages": [{"role": "user"}], "stream": stream}
    return await engine.start(body, Services(service, service, Hooks()), {}, connected)


@pytest.fixture
def engine() -> Engine:
    limits = Limits(concurrent=8, sync_workers=8, timeout=0, keep_alive=0, finish_without_client=False)
    return Engine(limits, ("reasoning_content",), defaults=ModelDefaults("me", 7))


async def test_an_engine_that_drains_starts_nothing(engine: Engine) -> None:
    engine.drain(0)

    with pytest.raises(OverloadedError, match=SHUTTING_DOWN) as caught:
        await start(engine, Service())

    assert (caught.value.status, caught.value.code, "retry-after" in caught.value.headers) == (503, "overloaded", True)


async def test_what_runs_may_finish_within_the_grace(engine: Engine) -> None:
    service = Service()
    completion = await start(engine, service)

    engine.drain(3600)
    service.go_on.set()

    assert (await completion.collect())["choices"][0]["message"]["content"] == "Hello!"


async def test_a_whole_completion_that_runs_longer_fails(engine: Engine) -> None:
    service = Service()
    completion = await start(engine, service)

    engine.drain(0)

    with pytest.raises(OverloadedError, match=SHUTTING_DOWN):
        await completion.collect()
    assert service.cleaned_up


async def test_a_stream_that_runs_longer_ends_with_an_error(engine: Engine) -> None:
    service = Service()
    completion = await start(engine, service, stream=True)

    engine.drain(0)
    sent = b"".join([frames async for frames in completion.frames()])

    assert b'"content":"Hello"' in sent
    assert b'data: {"error":{"message":"The server is shutting down' in sent
    assert sent.endswith(DONE)
    assert service.cleaned_up


async def test_closing_stops_what_runs_and_waits_until_it_has_cleaned_up(engine: Engine) -> None:
    services = [Service() for _ in range(3)]
    completions = [await start(engine, service) for service in services]
    collecting = [asyncio.create_task(completion.collect()) for completion in completions]
    await asyncio.sleep(0)

    await engine.close()

    assert all(service.cleaned_up for service in services)
    outcomes = await asyncio.gather(*collecting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OverloadedError] * 3
