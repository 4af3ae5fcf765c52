"""What the engine keeps to: completions at once, threads for sync code, time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from httpx import Response

from app.services import Body, Hooks, Messages
from schemas.chat import ChatCompletionRequest, Json
from tests.conftest import Client, Serve, ask, error_of, message_of, returning
from tests.template.conftest import completion

OVERLOADED = {
    "message": "The server is overloaded. Try again in a moment.",
    "type": "server_error",
    "param": None,
    "code": "overloaded",
}
PATIENCE = 10.0  # seconds after which a test gives up


class Gate:
    """Holds the completions that enter until it opens."""

    def __init__(self) -> None:
        self.entered = Event()
        self.opened = Event()

    def function(self, model: str, messages: Messages, body: Body) -> str:
        self.entered.set()
        return "Hello!" if self.opened.wait(PATIENCE) else "nobody came"

    def generator(self, model: str, messages: Messages, body: Body) -> Iterator[str]:
        yield self.function(model, messages, body)

    async def coroutine(self, model: str, messages: Messages, body: Body) -> str:
        return await asyncio.to_thread(self.function, model, messages, body)


@pytest.fixture
def gate() -> Gate:
    return Gate()


def answers(gate: Gate, client: Client, act: Callable[[], Response]) -> tuple[Response, Response]:
    """The answer to an act while a completion is held at the gate, and the one to that completion."""
    with ThreadPoolExecutor(1) as executor:
        held = executor.submit(ask, client)
        assert gate.entered.wait(PATIENCE)
        try:
            response = act()
        finally:
            gate.opened.set()
        return response, held.result()


@pytest.mark.parametrize("service", ["function", "generator", "coroutine"])
@pytest.mark.parametrize("streaming", [True, False])
def test_more_completions_than_the_limit_are_turned_away(
    serve: Serve, gate: Gate, service: str, streaming: bool
) -> None:
    client = serve(getattr(gate, service), max_concurrent_completions=1)

    turned_away, held = answers(gate, client, lambda: ask(client, stream=streaming))

    assert turned_away.status_code == 503
    assert int(turned_away.headers["retry-after"]) > 0
    assert error_of(turned_away) == OVERLOADED
    assert held.json() == completion("Hello!")
    assert ask(client).json() == completion("Hello!")


def test_a_completion_held_by_its_hook_counts(serve: Serve, gate: Gate) -> None:
    def hook(request: ChatCompletionRequest) -> None:
        if not gate.entered.is_set():
            gate.function("test", [], {})

    client = serve(returning("Hello!"), hooks=Hooks(pre_hook=hook), max_concurrent_completions=1)

    turned_away, held = answers(gate, client, lambda: ask(client))

    assert turned_away.status_code == 503
    assert held.json() == completion("Hello!")


@pytest.mark.parametrize("service", ["function", "generator"])
def test_more_sync_completions_than_threads_are_turned_away(serve: Serve, gate: Gate, service: str) -> None:
    client = serve(getattr(gate, service), sync_workers=1)

    turned_away, held = answers(gate, client, lambda: ask(client))

    assert turned_away.status_code == 503
    assert int(turned_away.headers["retry-after"]) > 0
    assert error_of(turned_away) == OVERLOADED
    assert held.json() == completion("Hello!")


def test_a_full_server_still_lists_its_models(serve: Serve, gate: Gate) -> None:
    client = serve(gate.function, sync_workers=1, max_concurrent_completions=1)

    models, _ = answers(gate, client, lambda: client.get("/v1/models"))

    assert [model["id"] for model in models.json()["data"]] == ["test"]


def test_a_request_that_fails_leaves_its_place_to_another(serve: Serve) -> None:
    client = serve(lambda model, messages, body: "Hello!", max_concurrent_completions=1)

    statuses = [ask(client, **fields).status_code for fields in ({"model": "nope"}, {"n": "two"}, {}, {"stream": True})]

    assert statuses == [404, 400, 200, 200]


async def never(model: str, messages: Messages, body: Body) -> str:
    await asyncio.Event().wait()
    return "never"


async def never_yields(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    await asyncio.Event().wait()
    yield "never"


async def stops_midway(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    yield "Hello"
    await asyncio.Event().wait()


TIMEOUT: Json = {
    "message": "The completion took longer than 0.05 s.",
    "type": "server_error",
    "param": None,
    "code": "timeout",
}


@pytest.mark.parametrize("service", [never, never_yields])
@pytest.mark.parametrize("streaming", [True, False])
def test_a_completion_over_the_timeout_is_a_504(serve: Serve, service: object, streaming: bool) -> None:
    response = ask(serve(service, completion_timeout=0.05), stream=streaming)

    assert response.status_code == 504
    assert error_of(response) == TIMEOUT


def test_a_timeout_in_a_whole_completion_that_has_begun_is_a_504(serve: Serve) -> None:
    response = ask(serve(stops_midway, completion_timeout=0.05))

    assert response.status_code == 504
    assert error_of(response) == TIMEOUT


def test_a_timeout_in_mid_stream_is_an_error_frame(serve: Serve) -> None:
    response = ask(serve(stops_midway, completion_timeout=0.05), stream=True)

    assert response.status_code == 200
    *_, text, error, done, _ = response.text.split("\n\n")
    assert '"content":"Hello"' in text
    assert error.startswith('data: {"error":{"message":"The completion took longer than 0.05 s."')
    assert done == "data: [DONE]"


def test_a_service_over_the_timeout_is_stopped(serve: Serve) -> None:
    stopped = []

    async def service(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        try:
            yield "Hello"
            await asyncio.Event().wait()
        finally:
            stopped.append(True)

    ask(serve(service, completion_timeout=0.05))

    assert stopped == [True]


def test_calls_of_asyncio_to_thread_wait_for_a_thread(serve: Serve) -> None:
    async def answer(model: str, messages: Messages, body: Body) -> str:
        words = await asyncio.gather(*(asyncio.to_thread(slowly, word) for word in ("one", "two", "three")))
        return " ".join(words)

    def slowly(word: str) -> str:
        time.sleep(0.01)
        return word

    assert message_of(ask(serve(answer, sync_workers=1)))["content"] == "one two three"
