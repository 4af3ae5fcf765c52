"""HTTP: uvicorn's protocol, with the limits that it lacks, and errors in OpenAI's format."""

import asyncio
import sys
from collections.abc import Sized
from typing import Any

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser
from litestar import Litestar
from litestar.routes import WebSocketRoute
from uvicorn import Config
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.engine.engine import Engine
from app.engine.frames import encode
from app.errors import HeadersTooLargeError, InvalidRequestError
from app.settings import Settings
from app.web.logs import new_id

if sys.platform != "win32":
    from fcntl import ioctl
    from termios import TIOCOUTQ

CLOSING_TIME = 0.5  # seconds after the grace in which a client must receive some of the end of its answer
LOOKS = 4  # times that a client is looked at in `WRITE_TIMEOUT`
MAX_WAITING = 100  # requests that may wait on a connection while another one is answered


class Http(HttpToolsProtocol):
    """uvicorn's protocol, with the settings of its application for slow requests, large headers and the shutdown."""

    _deadline: asyncio.TimerHandle | None = None
    _next_look: asyncio.TimerHandle | None = None
    _unsent: tuple[int, bytes] = (0, b"")  # what waited for the client at the last look, here and in the system
    _is_lost = False
    _running: RequestResponseCycle | None = None  # the last request that was started; `cycle` may still wait
    _head_size = 0  # bytes of headers that are not complete or too large

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        app = litestar_of(config)
        self._settings: Settings = app.state.settings
        self._engine: Engine = app.state.engine
        self._websockets = {route.path for route in app.routes if isinstance(route, WebSocketRoute)}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start the deadline, and look from time to time whether the client takes what waits for it."""
        super().connection_made(transport)
        self.flow = _FlowControl(transport, self.pipeline)
        self._set_deadline()
        if self._settings.write_timeout:
            self._look(0)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers, and drop the requests that wait."""
        self._is_lost = True
        if self._next_look is not None:
            self._next_look.cancel()
        self.pipeline.clear()
        if self._running is not None:
            self.cycle = self._running  # so that uvicorn reports the disconnect to this one
        self._set_deadline()
        super().connection_lost(exc)
        if not self.connections and not self._engine.draining:
            self.connections.add(self)  # so that uvicorn calls `shutdown` even if no client is connected

    def data_received(self, data: bytes) -> None:
        """Parse the data; start the deadline if the request is not complete."""
        self._unset_keepalive_if_required()
        self._head_size += len(data)
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._handle_upgrade(data[upgrade.args[0] :])
        except HttpParserError as error:
            self.send_400_response(f"Invalid HTTP request: {_reason(error)}")
        if self._head_size > self._settings.max_header_size:  # and have no end, unless they are refused already
            self.send_400_response()
        self._set_deadline()

    def on_message_begin(self) -> None:
        """Count from the next data on, as closing the connection while the client sends would lose the answer."""
        self._head_size = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Handle the request, unless its headers are too large, or too many requests wait."""
        if self.parser.should_upgrade() and not self._should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise InvalidRequestError("This is no proxy.")
            return  # as it is parsed again without the upgrade
        self._head_size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._head_size > self._settings.max_header_size:
            raise HeadersTooLargeError(self._settings.max_header_size)  # ends the parsing
        if len(self.pipeline) >= MAX_WAITING:
            raise InvalidRequestError(f"Too many requests wait on this connection: at most {MAX_WAITING} may.")
        self._head_size = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Receive a part of the body."""
        self._head_size = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body, unless it is the parser that ends each message with an upgrade after its headers."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the next request that waits, whose body may be incomplete as nothing was read."""
        waited = bool(self.pipeline)
        super().on_response_complete()
        if waited:
            self._set_deadline()

    def shutdown(self) -> None:
        """Drain the engine, and close the connection when its answer is complete, or cut it after the grace."""
        self._engine.drain(self._settings.shutdown_grace)
        if self._is_lost:
            self.connections.discard(self)
            return
        if self._next_look is not None:
            self._next_look.cancel()
        super().shutdown()
        self.loop.call_later(self._settings.shutdown_grace + CLOSING_TIME, self._cut)

    def send_400_response(self, msg: str = "") -> None:
        """Answer with an error, unless an answer has begun or other requests wait, and close the connection."""
        if self.transport.is_closing():
            return
        limit, fields = self._settings.max_header_size, dict[str, object]()
        error = HeadersTooLargeError(limit) if self._head_size > limit else InvalidRequestError(msg)
        is_next = self.cycle is None or self.cycle.response_complete or not self.cycle.response_started
        if is_next and not self.pipeline:
            fields = {"request_id": new_id(), "status": error.status}
            body = encode(error.to_response())
            head = b"content-type: application/json\r\nconnection: close\r\n"
            its = f"x-request-id: {fields['request_id']}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            self.transport.write(STATUS_LINE[error.status] + head + its + body)
        self.logger.warning("Refused what %s sent: %s", self._peer, error, extra={"fields": fields})
        self.transport.close()

    @property
    def _peer(self) -> str:
        return ":".join(map(str, self.client or ("a client",)))

    def _should_upgrade(self) -> bool:
        """Return whether the request is for a WebSocket that there is; others are answered without the upgrade."""
        path = self.url.partition(b"?")[0].rstrip(b"/").decode("latin-1")
        is_there = path.removeprefix(self._settings.root_path) in self._websockets
        is_answered = self.cycle is None or self.cycle.response_complete  # what came before it on the connection
        sizes = [value for name, value in self.headers if name in (b"content-length", b"transfer-encoding")]
        return (
            is_there
            and is_answered
            and {*sizes} <= {b"0"}
            and self.parser.get_method() == b"GET"
            and super()._should_upgrade()
        )

    def _handle_upgrade(self, rest: bytes) -> None:
        """Upgrade, or else parse the headers again without it, and the body, which follows them in any case."""
        if self._should_upgrade():
            self._is_lost = True  # to this protocol
            if self._next_look is not None:
                self._next_look.cancel()
            self.handle_websocket_upgrade()
            return
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        headers = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = HttpRequestParser(self)  # the other one may take nothing more
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.data_received(line + b"".join(headers) + b"\r\n" + rest)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, _unchunked(app, cycle) if cycle.scope["http_version"] == "1.0" else app)

    def _look(self, stalled: int) -> None:
        """Cut the connection if the client has taken nothing for so many looks."""
        stalled = stalled + 1 if self._is_stalled() else 0
        if stalled == LOOKS:
            self._abort()
        else:
            self._next_look = self.loop.call_later(self._settings.write_timeout / LOOKS, self._look, stalled)

    def _cut(self) -> None:
        """Cut the connection, as soon as the client takes nothing more."""
        if self._is_lost:
            return
        if self._is_stalled() or not self._unsent[0]:
            self._abort()
        else:
            self.loop.call_later(CLOSING_TIME, self._cut)

    def _abort(self) -> None:
        """Close the connection at once, and log what its client loses: an answer may count as sent before."""
        if unsent := self.transport.get_write_buffer_size():
            self.logger.warning("Cut off %s, which has not read the last %d bytes sent to it", self._peer, unsent)
        self.transport.abort()

    def _is_stalled(self) -> bool:
        """Return whether something waits for the client, which has taken nothing since the last look.

        Nothing is added to what waits until the client has taken it all, so that a change is the client's doing.
        """
        before, size = self._unsent, self.transport.get_write_buffer_size()
        self._unsent = (size, _queue_of(self.transport) if size else b"")
        limits = (1, 0) if size else (None, None)
        self.transport.set_write_buffer_limits(*limits)
        return size > 0 and self._unsent == before

    def _set_deadline(self) -> None:
        cycle = self.cycle  # of the last request whose headers are complete
        is_answered = cycle is None or cycle.response_complete  # then any data, as it ends uvicorn's keep-alive timeout
        is_incomplete = is_answered or cycle.more_body or cycle.scope is not self.scope
        if is_incomplete and not self._is_lost and not self.pipeline:  # nothing is read while requests wait
            limit = self._settings.request_timeout
            self._deadline = self._deadline or self.loop.call_later(limit, self.transport.close)
        elif self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _reason(error: HttpParserError) -> object:
    """Return what was wrong, which quotes nothing of the request."""
    if not isinstance(error, HttpParserCallbackError):
        return error
    return error.__context__ if isinstance(error.__context__, InvalidRequestError) else "Invalid URL"


def litestar_of(config: Config) -> Litestar:
    """Return the application that uvicorn serves."""
    app: Any = config.loaded_app
    while not isinstance(app, Litestar):  # uvicorn wraps it in middleware of its own
        app = app.app
    return app


def _queue_of(transport: asyncio.Transport) -> bytes:
    """Return the size of the system's buffer, as a slow client takes from it for minutes before it has room again."""
    if sys.platform == "win32":
        return b""
    try:
        return ioctl(transport.get_extra_info("socket").fileno(), TIOCOUTQ, bytes(4))
    except OSError:  # this system does not tell
        return b""


def _unchunked(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """Return the application without chunks, which HTTP/1.0 lacks: a stream ends with its connection."""

    async def unchunked(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        is_stream = False

        async def send_unchunked(message: ASGISendEvent) -> None:
            nonlocal is_stream
            if message["type"] == "http.response.start":
                is_stream = b"content-length" not in dict(message["headers"])
                cycle.chunked_encoding = False if is_stream else None
            elif message["type"] == "http.response.body" and is_stream:
                cycle.expected_content_length = len(message["body"])  # of this part, as there is no other
            await send(message)

        await app(scope, receive, send_unchunked)

    return unchunked


class _FlowControl(FlowControl):
    """Reads nothing more while requests wait on the connection."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Read on, unless requests wait."""
        if not self._waiting:
            super().resume_reading()
