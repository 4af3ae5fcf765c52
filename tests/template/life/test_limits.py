"""The limits of completions: how many at once, threads for sync code, and time."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from httpx import Response

from app.engine.run import run_sync
from app.services import Body, Hooks, Messages
from schemas.chat import ChatCompletionRequest
from tests.conftest import PATIENCE, Client, Serve, ask, error_of, message_of, returning
from tests.template.conftest import completion, error_object

OVERLOADED = error_object("The server is overloaded. Try again in a moment.", type="server_error", code="overloaded")
TIMEOUT = OVERLOADED | {"message": "The completion took longer than 0.05 s.", "code": "timeout"}


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

    def hook(self, request: ChatCompletionRequest) -> None:
        if not self.entered.is_set():
            self.function("test", [], {})


@pytest.fixture
def gate() -> Gate:
    return Gate()


def answers(gate: Gate, client: Client, act: Callable[[], Response]) -> tuple[Response, Response]:
    """Return the answer to an act while a completion is held at the gate, and the one to that completion."""
    with ThreadPoolExecutor(1) as executor:
        held = executor.submit(ask, client)
        assert gate.entered.wait(PATIENCE)
        try:
            response = act()
        finally:
            gate.opened.set()
        return response, held.result()


@pytest.mark.parametrize("held", ["function", "generator", "coroutine", "hook"])
@pytest.mark.parametrize("streaming", [True, False])
def test_more_completions_than_the_limit_are_refused_while_the_models_are_still_listed(
    serve: Serve, gate: Gate, held: str, streaming: bool
) -> None:
    model, hooks = getattr(gate, held), Hooks()
    if held == "hook":
        model, hooks = returning("Hello!"), Hooks(pre_hook=gate.hook)
    client = serve(model, hooks=hooks, max_concurrent_completions=1)
    models = []

    def act() -> Response:
        models.extend(client.get("/v1/models").json()["data"])
        return ask(client, stream=streaming)

    refused, answer = answers(gate, client, act)

    assert (refused.status_code, error_of(refused)) == (503, OVERLOADED)
    assert int(refused.headers["retry-after"]) > 0
    assert [model["id"] for model in models] == ["test"]
    assert answer.json() == completion("Hello!")
    assert ask(client).json() == completion("Hello!")


def test_a_request_that_fails_frees_its_place(serve: Serve) -> None:
    client = serve(returning("Hello!"), max_concurrent_completions=1)

    statuses = [ask(client, **fields).status_code for fields in ({"model": "nope"}, {"n": "two"}, {}, {"stream": True})]

    assert statuses == [404, 400, 200, 200]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_completion_over_the_timeout_that_has_begun_fails_and_its_model_is_stopped(
    serve: Serve, streaming: bool
) -> None:
    stopped: list[str] = []

    async def slow(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        yield "Hello"
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            stopped.append(model)

    response = ask(serve(slow, completion_timeout=0.05), stream=streaming)

    assert stopped == ["test"]
    if streaming:
        *_, text, error, done, _ = response.text.split("\n\n")
        assert (response.status_code, '"content":"Hello"' in text, done) == (200, True, "data: [DONE]")
        assert json.loads(error.removeprefix("data: ")) == {"error": TIMEOUT}
    else:
        assert (response.status_code, error_of(response)) == (504, TIMEOUT)


@pytest.mark.parametrize("in_thread", [asyncio.to_thread, run_sync])
def test_blocking_calls_of_async_code_wait_for_a_thread(serve: Serve, in_thread: Any) -> None:
    async def answer(model: str, messages: Messages, body: Body) -> str:
        words = await asyncio.gather(*(in_thread(slowly, word) for word in ("one", "two", "three")))
        return " ".join(words)

    def slowly(word: str) -> str:
        time.sleep(0.01)
        return word

    assert message_of(ask(serve(answer, sync_workers=1)))["content"] == "one two three"
