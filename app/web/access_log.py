"""What stands around every request: its id goes out with the answer, and its end is a line in the log."""

import logging
from time import perf_counter
from typing import Any
from urllib.parse import quote

from litestar import Litestar
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.engine.observers import Ending, Observer, Record
from app.web.request_ids import note_request_id

__all__ = ["COMPLETES", "QUIET", "AccessLog"]

logger = logging.getLogger("app.requests")

MAX_PATH = 200  # characters of it that are logged
COMPLETES = "completes"  # the option of a handler that answers with completions
QUIET = "quiet"  # and of one that is logged at `DEBUG`, unless it fails


class AccessLog:
    """Surrounds all that an application does, as unknown paths are refused before any middleware.

    Args:
        app: what answers.
        observers: who is told of a request for a completion that was refused before there was one.
    """

    def __init__(self, app: ASGIApp, observers: tuple[Observer, ...]) -> None:
        self._app = app
        self._observers = observers

    @classmethod
    def around(cls, app: Litestar, observers: tuple[Observer, ...]) -> Litestar:
        """The application, with an access log."""
        app.asgi_handler = cls(app.asgi_handler, observers)
        return app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and log."""
        began, status = perf_counter(), 0
        header = (b"x-request-id", note_request_id(scope).encode())

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], header]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            self._finish(scope, status, perf_counter() - began)

    def _finish(self, scope: Scope, status: int, duration: float) -> None:
        state: dict[str, Any] = scope["state"]
        options: dict[str, Any] = getattr(scope.get("route_handler"), "opt", {})
        record: Record | None = state.get("completion")
        if record is None and options.get(COMPLETES):
            record = Record(observers=self._observers, ended=_ending(status), error=state.get("error"))
            record.end(None)
        quiet = options.get(QUIET) and status < 400
        if logger.isEnabledFor(level := logging.DEBUG if quiet else logging.INFO):
            method, path = scope.get("method", "WEBSOCKET"), quote(scope["path"], errors="replace")[:MAX_PATH]
            fields = {"method": method, "path": path, "status": status or None, "duration": _rounded(duration)}
            fields |= {"error": state.get("error")} if record is None else _fields_of(record)
            given = {name: value for name, value in fields.items() if value is not None}
            logger.log(level, "%s %s %s", method, path, status or "-", extra={"fields": given})


def _fields_of(record: Record) -> dict[str, object]:
    usage = {"prompt_tokens": record.prompt_tokens, "completion_tokens": record.completion_tokens}
    return {
        "model": record.model,
        "completion": record.id,
        "stream": record.stream if record.model else None,
        "first_chunk": _rounded(record.first_chunk),
        "chunks": record.chunks if record.stream else None,
        "usage": usage if any(tokens is not None for tokens in usage.values()) else None,
        "ended": record.ended,
        "error": record.error,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _ending(status: int) -> Ending:
    """How a request ended that never came to a completion; 0 is no answer."""
    if status == 0:
        return "client_left"
    return "rejected" if status < 500 or status == 503 else "error"
