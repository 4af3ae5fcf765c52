"""A client in the application's own event loop, which reads and leaves when a test tells it to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

from litestar import Litestar

from app.app import create_app
from app.registry import Pipelines
from app.settings import Settings
from tests.conftest import ASKS, PATIENCE
from tests.template.e2e.connection import PATH


class AsgiClient:
    """A client that asks a running application and leaves at the end; it does not read while `reads` is cleared."""

    def __init__(
        self, app: Litestar, model: str = "test", *, stream: bool, headers: Mapping[str, str] | None = None
    ) -> None:
        self.received = b""
        self.reads = asyncio.Event()
        self.reads.set()
        self._left = asyncio.Event()
        body = json.dumps({**ASKS, "model": model, "stream": stream}).encode()
        self._request: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]
        sent = {"host": "localhost", "content-type": "application/json", "content-length": str(len(body))}
        raw = [(name.encode(), value.encode()) for name, value in {**sent, **(headers or {})}.items()]
        scope: Any = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"}
        scope |= {"method": "POST", "path": PATH, "raw_path": PATH.encode(), "root_path": "", "query_string": b""}
        scope |= {"headers": raw, "client": ("127.0.0.1", 1), "server": ("localhost", 80)}
        served: Any = app(scope, self._receive, self._send)
        self.served = asyncio.create_task(served)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()
        await asyncio.wait_for(self.served, PATIENCE)

    def leave(self) -> None:
        """Disconnect; what the server sends from now on goes nowhere."""
        self._left.set()
        self.reads.set()

    async def _receive(self) -> Any:
        if self._request:
            return self._request.pop()
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        if not self._left.is_set():
            self.received += message.get("body", b"")


async def until(happened: Callable[[], object]) -> None:
    """Wait until something has happened on this event loop or in a thread."""
    async with asyncio.timeout(PATIENCE):
        while not happened():  # noqa: ASYNC110 - an event of asyncio cannot be set from a thread
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(model: Any, *, outlives_client: bool = False, **settings: Any) -> AsyncIterator[Litestar]:
    """Run an application around the model `test` on this event loop."""
    models = Pipelines()
    models.add("test", model, outlives_client=outlives_client)
    app = create_app(settings=Settings(**settings), pipelines=models)
    async with app.lifespan():
        yield app
