"""Observers: objects that an application notifies of each completion."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from litestar.testing import TestClient

from app.app import create_app
from app.registry import Pipelines
from app.services import Body, Messages
from app.settings import Settings
from schemas.chat import Usage
from tests.conftest import PATIENCE, Client, ask, message_of, returning, yielding

said: ContextVar[str] = ContextVar("said", default="nothing")


class Observer:
    """Notes what it is notified of, and sets a context variable."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.record: Any = None
        self.sent_once = asyncio.Event()

    def started(self, record: Any) -> None:
        self.events.append("started")
        said.set("observed")

    def sent(self, record: Any) -> None:
        self.events.append(f"sent {record.chunks}")
        self.sent_once.set()

    def ended(self, record: Any) -> None:
        self.events.append(f"ended {record.ended}")
        self.record = record


class Failing:
    """Fails at every notification."""

    def __getattr__(self, name: str) -> Any:
        def fail(record: Any) -> None:
            raise ValueError("An observer's own fault")

        return fail


@pytest.fixture
def observer() -> Observer:
    return Observer()


def asking(model: Any, *observers: Any, **settings: Any) -> Client:
    """Return a client of an application with observers."""
    pipelines = Pipelines()
    pipelines.add("test", model)
    app = create_app(settings=Settings(**settings), pipelines=pipelines, observers=observers)
    return TestClient(app, raise_server_exceptions=False)


def test_a_stream_is_notified_of_as_it_is_sent(observer: Observer) -> None:
    async def model(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Usage]:
        yield "Hello"
        await asyncio.wait_for(observer.sent_once.wait(), PATIENCE)
        yield " there"
        yield Usage(prompt_tokens=3, completion_tokens=2)

    with asking(model, observer) as client:
        ask(client, stream=True)

    record = observer.record
    assert observer.events == ["started", "sent 2", "sent 4", "ended done"]
    assert (record.model, record.stream, record.chunks, record.error) == ("test", True, 4, None)
    assert record.first_chunk > 0
    assert record.gap > 0
    assert (record.prompt_tokens, record.completion_tokens, record.finish_reasons) == (3, 2, ["stop"])


def test_a_whole_answer_is_notified_of_at_its_start_and_end(observer: Observer) -> None:
    message, usage = {"content": "!"}, {"prompt_tokens": 3, "completion_tokens": 2}
    whole = {"choices": [{"message": message, "finish_reason": "length"}], "model": "other", "usage": usage}
    with asking(returning(whole), observer) as client:
        completion = ask(client).json()

    record = observer.record
    assert observer.events == ["started", "ended done"]
    assert (record.stream, record.chunks, record.first_chunk) == (False, 0, None)
    assert (record.prompt_tokens, record.completion_tokens, record.finish_reasons) == (3, 2, ["length"])
    assert (record.model, record.id, record.response_model) == ("test", completion["id"], "other")


def test_a_request_that_is_refused_before_its_model_is_asked_only_ends(observer: Observer) -> None:
    with asking(yielding("Hello"), observer) as client:
        ask(client, model="nope")
        assert (observer.record.model, observer.record.error) == (None, "model_not_found")
        client.post("/v1/chat/completions", content=b"{")
        assert (observer.record.model, observer.record.error) == (None, "invalid_request_error")
        client.get("/v1/models")

    assert observer.events == ["ended rejected", "ended rejected"]


@pytest.mark.parametrize("streaming", [True, False])
def test_an_observer_that_fails_changes_nothing(
    observer: Observer, capsys: pytest.CaptureFixture[str], streaming: bool
) -> None:
    with asking(yielding("Hello"), Failing(), observer) as client:
        assert ask(client, stream=streaming).status_code == 200

    assert observer.events[-1] == "ended done"
    assert "An observer's own fault" in capsys.readouterr().err


def test_a_model_sees_what_an_observer_sets_in_the_context(observer: Observer) -> None:
    def model(model: str, messages: Messages, body: Body) -> Iterator[str]:
        yield said.get()

    with asking(model, observer) as client:
        assert message_of(ask(client))["content"] == "observed"
