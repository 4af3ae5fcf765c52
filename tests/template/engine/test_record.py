"""What observers are told of a completion."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from litestar.di import Provide
from litestar.testing import TestClient

from app.app import create_app
from app.engine.observers import Observer, Record
from app.services import Body, Messages
from app.settings import Settings
from app.web.logs import current_request_id
from schemas.chat import Usage
from tests.conftest import Client, ask, given, message_of, yielding


class Watcher:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.records: list[Record] = []
        self.told = asyncio.Event()  # of the first chunks

    def started(self, record: Record) -> None:
        self.events.append("started")
        self.records.append(record)

    def sent(self, record: Record) -> None:
        self.events.append(f"sent {record.chunks}")
        self.told.set()

    def ended(self, record: Record) -> None:
        self.events.append(f"ended {record.ended}")
        if record.model is None:
            self.records.append(record)


class Failing:
    """An observer that fails whatever it is told."""

    def __getattr__(self, name: str) -> Any:
        def fail(record: Record) -> None:
            raise ValueError("An observer's own fault")

        return fail


class Listed:
    """A service of one model."""

    def __init__(self, function: Any) -> None:
        self.complete = function

    def list_models(self) -> list[str]:
        return ["test"]


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


def asking(function: object, *observers: Observer, **settings: Any) -> Client:
    """A client of a server whose completions are observed."""
    dependencies: dict[str, Provide] = {"completion_service": given(Listed(function))}
    app = create_app(settings=Settings(**settings), dependencies=dependencies, observers=observers)
    return TestClient(app, raise_server_exceptions=False)


async def saying(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Usage]:
    yield "Hello"
    yield " there"
    yield Usage(prompt_tokens=3, completion_tokens=2)


def test_a_stream_is_told_as_it_goes(watcher: Watcher) -> None:
    async def saying_as_it_is_sent(**asked: Any) -> AsyncIterator[str | Usage]:
        async for part in saying(**asked):
            yield part
            await watcher.told.wait()

    with asking(saying_as_it_is_sent, watcher) as client:
        ask(client, stream=True)

    assert watcher.events == ["started", "sent 2", "sent 4", "ended done"]
    (record,) = watcher.records
    assert (record.model, record.stream, record.chunks, record.error) == ("test", True, 4, None)
    assert record.first_chunk is not None
    assert record.gap is not None
    assert record.gap > 0
    assert (record.prompt_tokens, record.completion_tokens) == (3, 2)
    assert record.finish_reasons == ["stop"]


def test_an_answer_that_is_no_stream_has_no_chunks(watcher: Watcher) -> None:
    with asking(saying, watcher) as client:
        completion = ask(client).json()

    assert watcher.events == ["started", "ended done"]
    (record,) = watcher.records
    assert (record.stream, record.chunks, record.first_chunk) == (False, 0, None)
    assert (record.prompt_tokens, record.completion_tokens) == (3, 2)
    assert (record.id, record.response_model) == (completion["id"], "test")
    assert record.finish_reasons == ["stop"]


def test_the_finish_reason_of_a_whole_completion_is_known(watcher: Watcher) -> None:
    whole = {"choices": [{"message": {"content": "!"}, "finish_reason": "length"}], "model": "other"}
    with asking(lambda model, messages, body: whole, watcher) as client:
        ask(client)

    (record,) = watcher.records
    assert (record.finish_reasons, record.response_model) == (["length"], "other")


def test_an_observer_can_read_the_id_of_the_request() -> None:
    ids: list[str] = []

    class Reading(Watcher):
        def started(self, record: Record) -> None:
            ids.append(current_request_id.get())

    with asking(saying, Reading()) as client:
        client.headers["x-request-id"] = "mine"
        ask(client)

    assert ids == ["mine"]


@pytest.mark.parametrize("streaming", [True, False])
def test_a_timeout_is_told(watcher: Watcher, streaming: bool) -> None:
    async def never(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        yield "Hello"
        await asyncio.Event().wait()

    with asking(never, watcher, completion_timeout=0.05) as client:
        ask(client, stream=streaming)

    assert watcher.events[-1] == "ended timeout"
    assert watcher.records[0].error == "timeout"


@pytest.mark.parametrize("streaming", [True, False])
def test_a_failure_is_told(watcher: Watcher, streaming: bool) -> None:
    with asking(yielding("Hello", ValueError("secret")), watcher) as client:
        ask(client, stream=streaming)

    assert watcher.events[-1] == "ended error"
    assert watcher.records[0].error == "server_error"


def test_an_item_that_cannot_be_read_is_a_failure(watcher: Watcher) -> None:
    class Unreadable:
        @property
        def content(self) -> str:
            raise ValueError("at fault")

    with asking(yielding(Unreadable()), watcher) as client:
        assert ask(client).status_code == 500

    assert watcher.events == ["started", "ended error"]


def test_what_was_refused_before_it_began_only_ends(watcher: Watcher) -> None:
    with asking(saying, watcher) as client:
        ask(client, model="nope")
        client.post("/v1/chat/completions", content=b"{")
        client.get("/v1/models")

    assert watcher.events == ["ended rejected", "ended rejected"]
    assert [(record.model, record.error) for record in watcher.records] == [
        (None, "model_not_found"),
        (None, "invalid_request_error"),
    ]


@pytest.mark.parametrize("streaming", [True, False])
def test_an_observer_that_fails_changes_nothing(
    watcher: Watcher, capsys: pytest.CaptureFixture[str], streaming: bool
) -> None:
    with asking(saying, Failing(), watcher) as client:
        response = ask(client, stream=streaming)

    assert response.status_code == 200
    assert watcher.events[-1] == "ended done"
    assert "An observer's own fault" in capsys.readouterr().err


def test_what_an_observer_sets_in_the_context_the_model_sees() -> None:
    said: ContextVar[str] = ContextVar("said", default="nothing")

    class Setting(Watcher):
        def started(self, record: Record) -> None:
            said.set("observed")

    def in_a_thread(model: str, messages: Messages, body: Body) -> Iterator[str]:
        yield said.get()

    with asking(in_a_thread, Setting()) as client:
        assert message_of(ask(client))["content"] == "observed"
