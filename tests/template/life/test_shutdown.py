"""The end of an application while completions run: their models are stopped, and their clients told."""

import asyncio
import atexit
import gc
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from litestar.testing import TestClient

from app.app import create_app
from app.registry import Pipelines
from app.services import Body, Messages
from app.settings import Settings
from tests.conftest import ASKS, PATIENCE

pytestmark = pytest.mark.anyio


class Models:
    """Models that never end, and note that they have started and cleaned up."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cleaned_up = False

    async def waiting(self, model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        yield "Hello"
        try:
            self.started.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(100):  # longer than the application takes to end
                await asyncio.sleep(0)
            self.cleaned_up = True

    async def never_awaiting(self, model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        try:
            while True:
                yield "Hello"
                self.started.set()
        finally:
            self.cleaned_up = True


@pytest.mark.parametrize("model", [Models.waiting, Models.never_awaiting])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_completion_ends_with_an_error_when_the_application_ends(
    model: Callable[..., Any], stream: bool
) -> None:
    models, pipelines = Models(), Pipelines()
    pipelines.add("test", model.__get__(models))
    app: Any = create_app(settings=Settings(), pipelines=pipelines)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        async with app.lifespan():
            asking = asyncio.create_task(client.post("/v1/chat/completions", json=ASKS | {"stream": stream}))
            await asyncio.wait_for(models.started.wait(), PATIENCE)
        assert models.cleaned_up
        response = await asking

    if stream:
        *_, text, error, done, _ = response.text.split("\n\n")
        assert ('"content":"Hello"' in text, done) == (True, "data: [DONE]")
        found = json.loads(error.removeprefix("data: "))
    else:
        assert (response.status_code, "retry-after" in response.headers) == (503, True)
        found = response.json()
    message = "The server is shutting down. Try again in a moment."
    assert found == {"error": {"message": message, "type": "server_error", "param": None, "code": "overloaded"}}


def test_nothing_is_collected_when_the_process_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []
    monkeypatch.setattr(atexit, "register", called.append)
    with TestClient(create_app()):
        pass
    assert gc.freeze in called
