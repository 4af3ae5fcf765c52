"""HTTP: uvicorn's protocol, with the limits that it lacks, and errors in OpenAI's format."""

import asyncio
from http import HTTPStatus
from typing import Any

from litestar import Litestar
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.engine.engine import Engine
from app.engine.frames import encode
from app.errors import CompletionError, HeadersTooLargeError, InvalidRequestError
from app.settings import Settings

CLOSING_TIME = 0.5  # seconds after the grace in which a client can receive the end of its answer


class Http(HttpToolsProtocol):
    """uvicorn's protocol with a deadline for each request, a limit for its headers, and a drain before the shutdown.

    The limits are those of the application that the server has loaded.
    """

    _deadline: asyncio.TimerHandle | None = None
    _is_complete = False
    _unparsed = 0  # bytes since the last callback of the parser, as in the middle of a header
    _has_large_headers = False

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        app: Any = config.loaded_app
        while not isinstance(app, Litestar):  # uvicorn wraps it in middleware of its own
            app = app.app
        self._settings: Settings = app.state.settings
        self._engine: Engine = app.state.engine

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start the deadline."""
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        self._is_complete = True
        self._set_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data; start the deadline if the request is not complete."""
        if self.cycle is not None and self.cycle.response_complete:
            self._is_complete = False  # even an empty line, which begins no request, ends uvicorn's keep-alive timeout
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > self._settings.max_header_size and not self.transport.is_closing():
            self._refuse(HeadersTooLargeError(self._settings.max_header_size))  # a header without an end
        self._set_deadline()

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        self._is_complete = False
        self._unparsed = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Handle the request, unless its headers are too large."""
        self._unparsed = 0
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self._settings.max_header_size:
            self._has_large_headers = True
            raise HeadersTooLargeError(self._settings.max_header_size)  # ends the parsing
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Receive a part of the body."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        self._is_complete = True
        self._unparsed = 0
        super().on_message_complete()

    def shutdown(self) -> None:
        """Drain the engine, and close the connection when its answer is complete, or after the grace."""
        self._engine.drain(self._settings.shutdown_grace)
        super().shutdown()
        self.loop.call_later(self._settings.shutdown_grace + CLOSING_TIME, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, or has too large headers."""
        is_large = self._has_large_headers
        self._refuse(HeadersTooLargeError(self._settings.max_header_size) if is_large else InvalidRequestError(msg))

    def _should_upgrade(self) -> bool:
        return False  # there is no WebSocket here: the request is answered as if it had not asked for one

    def _refuse(self, error: CompletionError) -> None:
        """Answer with an error, unless an answer has begun, and close the connection."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_response(error))
        self.transport.close()

    def _set_deadline(self) -> None:
        if self._is_complete and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        elif not self._is_complete and self._deadline is None:
            self._deadline = self.loop.call_later(self._settings.request_timeout, self.transport.close)


def _response(error: CompletionError) -> bytes:
    status, body = HTTPStatus(error.status), encode(error.to_response())
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\nconnection: close\r\n"
    return b"%bcontent-length: %d\r\n\r\n%b" % (head.encode(), len(body), body)
