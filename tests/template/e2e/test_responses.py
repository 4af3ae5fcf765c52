"""The Responses API over a real connection: silence, clients that leave, and a Redis."""

import asyncio
import re
from collections.abc import AsyncIterator
from threading import Event

import httpx
import openai
import pytest

from app.errors import CompletionError
from app.services import Body, Messages
from app.settings import Secret
from schemas.chat import Json
from tests.conftest import PATIENCE, live, returning, until
from tests.template.e2e.redis import Redis, needs_redis


class Gate:
    """A model that waits after its first items until the gate is opened."""

    def __init__(self, *items: str, error: Exception | None = None) -> None:
        self.items = items
        self.error = error
        self.opened, self.closed = Event(), Event()

    async def __call__(self, model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        try:
            for item in self.items:
                yield item
            await asyncio.to_thread(self.opened.wait, PATIENCE)
            if self.error:
                raise self.error
            yield "last"
        finally:
            self.closed.set()


@pytest.mark.parametrize(
    ("error", "events"),
    [
        (None, ["created", "in_progress", "output_item.added"]),
        (CompletionError("Late."), ["created", "in_progress", "failed"]),
    ],
    ids=["text", "error"],
)
def test_a_silent_stream_sends_comments_before_the_response_begins(error: Exception | None, events: list[str]) -> None:
    gate = Gate(error=error)
    body = {"model": "test", "input": "Hello!", "stream": True}
    with (
        live(gate, keep_alive_interval=0.05) as client,
        client,
        httpx.stream("POST", f"{client.base_url}responses", json=body, timeout=PATIENCE) as response,
    ):
        received = response.iter_text()
        assert next(received).startswith(": keep-alive\n\n")
        gate.opened.set()
        names = re.findall(r"^event: response\.(.+)$", "".join(received), re.MULTILINE)

    assert names[:3] == events


@pytest.mark.parametrize("finishes", [False, True])
def test_a_client_that_leaves_ends_the_response_unless_the_settings_let_it_finish(finishes: bool) -> None:
    gate = Gate("first ")
    with live(gate, finish_without_client=finishes) as client:
        with client.responses.create(model="test", input="Hello!", stream=True) as stream:
            created = next(iter(stream))
        assert created.type == "response.created"
        if finishes:
            for _ in range(5):  # the server sees meanwhile that the client has left
                client.models.list()
            gate.opened.set()
        assert gate.closed.wait(PATIENCE)
        gate.opened.set()
        kept = f"{client.base_url}responses/{created.response.id}"
        if finishes:
            until(lambda: httpx.get(kept).status_code == 200)
            assert client.responses.retrieve(created.response.id).output_text == "first last"


@needs_redis
def test_servers_that_share_a_redis_share_responses_as_long_as_it_answers(caplog: pytest.LogCaptureFixture) -> None:
    model = returning("Hello, world")
    with Redis() as redis:
        settings: Json = {"redis_url": Secret(redis.url)}
        with live(model, **settings) as first, first, live(model, **settings) as second, second:
            made = first.responses.create(model="test", input="Hello!")
            assert second.responses.retrieve(made.id).output_text == "Hello, world"
            redis.stop()
            assert first.responses.create(model="test", input="Hello!").output_text == "Hello, world"
            with pytest.raises(openai.InternalServerError) as caught:
                first.responses.retrieve(made.id)
    assert caught.value.status_code == 503
    assert "A response could not be kept" in caplog.text
