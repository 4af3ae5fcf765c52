"""A client in the application's own event loop, which reads when it is told to and leaves when it is told to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar

PATIENCE = 60.0  # seconds until a test gives up waiting


class AsgiClient:
    def __init__(self, model: str, *, stream: bool) -> None:
        self.received = b""
        self.reads = asyncio.Event()
        self.reads.set()
        self._left = asyncio.Event()
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
        self._request = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    def leave(self) -> None:
        self._left.set()
        self.reads.set()

    async def receive(self) -> Any:
        if self._request:
            return self._request.pop()
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        if not self._left.is_set():
            self.received += message.get("body", b"")


@asynccontextmanager
async def asking(app: Litestar, model: str = "test", *, stream: bool) -> AsyncIterator[AsgiClient]:
    """Ask a model of a running application for a completion; leave at the end, and wait until the request is over."""
    client = AsgiClient(model, stream=stream)
    scope: Any = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/v1/chat/completions"}
    scope |= {"query_string": b"", "headers": [(b"host", b"test"), (b"content-type", b"application/json")]}
    request = asyncio.create_task(app(scope, client.receive, client.send))
    try:
        yield client
    finally:
        client.leave()
        await asyncio.wait_for(request, PATIENCE)


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not happened():  # noqa: ASYNC110 - threads set no asyncio.Event
            await asyncio.sleep(0.001)
