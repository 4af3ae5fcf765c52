"""HTTP as `litestar run` speaks it: uvicorn's protocol, which alone has no limit to how long or large a head is."""

import asyncio
from functools import cache
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.engine.frames import encode
from app.errors import CompletionError, HeadersTooLargeError, InvalidRequestError
from app.settings import Settings

__all__ = ["Protocol"]

CLOSING_TIME = 0.5  # seconds after the grace that a client gets to take the end of its answer


class Protocol(HttpToolsProtocol):
    """uvicorn's, with a deadline for a request, a limit to the size of its head, and errors in OpenAI's form."""

    _deadline: asyncio.TimerHandle | None = None
    _complete = False
    _unread = 0  # bytes since the parser last had anything to tell, as in the middle of a header
    _head_is_too_large = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Wait for a request."""
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._complete = True
        self._set_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of the request, if it is not complete."""
        if self.cycle is not None and self.cycle.response_complete:
            self._complete = False  # even an empty line, which begins no message, ends uvicorn's wait for the next
        self._unread += len(data)
        super().data_received(data)
        if self._unread > _settings().max_header_size and not self.transport.is_closing():  # a header without end
            self._refuse(HeadersTooLargeError(_settings().max_header_size))
        self._set_deadline()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._complete = False
        self._unread = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Serve the request, unless its head is too large."""
        self._unread = 0
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > _settings().max_header_size:
            self._head_is_too_large = True
            raise HeadersTooLargeError(_settings().max_header_size)  # which ends the parsing
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body is there."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of a request is there."""
        self._complete = True
        self._unread = 0
        super().on_message_complete()

    def shutdown(self) -> None:
        """Let the client have the end of its answer, and no longer than that."""
        super().shutdown()
        self.loop.call_later(_settings().shutdown_grace + CLOSING_TIME, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, or is too much of it."""
        too_large = HeadersTooLargeError(_settings().max_header_size)
        self._refuse(too_large if self._head_is_too_large else InvalidRequestError(msg))

    def _should_upgrade(self) -> bool:
        return False  # there is no WebSocket here: such a request is answered as if it had not asked

    def _refuse(self, error: CompletionError) -> None:
        """Answer with an error, and close; in the middle of an answer, only close."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_response(error))
        self.transport.close()

    def _set_deadline(self) -> None:
        if self._complete and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        elif not self._complete and self._deadline is None:
            self._deadline = self.loop.call_later(_settings().request_timeout, self.transport.close)


def _response(error: CompletionError) -> bytes:
    status, body = HTTPStatus(error.status), encode(error.to_response())
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\nconnection: close\r\n"
    return b"%bcontent-length: %d\r\n\r\n%b" % (head.encode(), len(body), body)


@cache
def _settings() -> Settings:
    return Settings.load()  # uvicorn makes the protocol: nobody could hand it the settings
