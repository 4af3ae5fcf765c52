"""A stream of events as Litestar's response."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from litestar import Litestar, get
from litestar.datastructures import Cookie
from litestar.testing import TestClient

from app.engine.response import EventStream, client_left


class Frames:
    """Frames that note whether they were closed."""

    def __init__(self, *frames: bytes) -> None:
        self.frames = frames
        self.closed = False

    async def __call__(self) -> AsyncGenerator[bytes, None]:
        try:
            for frame in self.frames:
                yield frame
        finally:
            self.closed = True


def test_frames_are_sent_as_they_are_and_closed() -> None:
    frames = Frames(b"b\n\n", b"", b": c\n\n")

    @get("/")
    async def handler() -> EventStream:
        return EventStream(b"data: a\n\n", frames())

    with TestClient(Litestar([handler])) as client:
        response = client.get("/")

    assert response.content == b"data: a\n\nb\n\n: c\n\n"
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert frames.closed


def test_headers_and_cookies_of_the_layers_are_sent_too() -> None:
    @get("/", response_headers={"x-layer": "handler"}, response_cookies=[Cookie(key="a", value="b")])
    async def handler() -> EventStream:
        return EventStream(b"data: a\n\n", Frames()())

    with TestClient(Litestar([handler])) as client:
        headers = client.get("/").headers

    assert (headers["x-layer"], headers["cache-control"], headers["x-accel-buffering"]) == (
        "handler",
        "no-cache",
        "no",
    )
    assert headers["set-cookie"].startswith("a=b")


@pytest.mark.anyio
async def test_a_client_has_left_when_it_has_disconnected() -> None:
    messages: list[Any] = [{"type": "http.request"}, {"type": "http.request"}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    await client_left(receive)

    assert messages == []
