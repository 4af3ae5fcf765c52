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
        self._body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
        self._requests = iter([{"type": "http.request", "body": json.dumps(self._body).encode(), "more_body": False}])

    def leave(self) -> None:
        self._left.set()
        self.reads.set()

    async def receive(self) -> Any:
        for request in self._requests:
            return request
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
    path = "/v1/chat/completions"
    scope: Any = {"type": "http", "method": "POST", "scheme": "http", "path": path, "raw_path": path.encode()}
    scope |= {"headers": [(b"host", b"test"), (b"content-type", b"application/json")], "query_string": b""}
    scope |= {"asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "root_path": ""}
    scope |= {"client": ("127.0.0.1", 1), "server": ("test", 80), "state": {}, "extensions": {}}
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
