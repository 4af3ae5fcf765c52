"""The stream of events as Litestar's response."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from litestar import Request
from litestar.response import ServerSentEvent
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send


class EventStream(ServerSentEvent):
    """A `ServerSentEvent` response whose frames are encoded already.

    Litestar's own would split each frame again, and start a thread and a task group for each response; here the
    completion watches the client.

    Args:
        first: The first bytes.
        rest: The bytes that follow; closed when the stream ends, for any reason.
    """

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        super().__init__("")
        self._first = first
        self._rest = rest

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **options: Any) -> ASGIResponse:
        """Return the response that Litestar sends, with the headers and cookies of all layers."""
        options["headers"] = {**(options.get("headers") or {}), **self.headers}
        options["cookies"] = [*self.cookies, *(options.get("cookies") or ())]
        options |= {"media_type": self.media_type, "status_code": self.status_code or options.get("status_code")}
        del options["type_encoders"]
        return _ASGIEventStream(self._first, self._rest, **options)


class _ASGIEventStream(ASGIResponse):
    _should_set_content_length = False

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None], **options: Any) -> None:
        super().__init__(**options)
        self._first = first
        self._rest = rest

    async def send_body(self, send: Send, receive: Receive) -> None:
        async with aclosing(self._rest):
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
            async for frames in self._rest:
                await send({"type": "http.response.body", "body": frames, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def client_left(receive: Receive) -> None:
    """Return when the client has closed its connection; the body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
