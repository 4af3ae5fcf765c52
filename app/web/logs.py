"""Logging: the format of log lines, the request id in each of them, and one line per request."""

import json
import logging
import re
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from logging.config import dictConfig
from secrets import token_hex
from time import perf_counter
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Litestar
from litestar.types import Message, Receive, Scope, Send

from app.engine.observers import Ending, Observer, Record
from app.settings import LogFormat

logger = logging.getLogger("app.requests")

current_request_id: ContextVar[str] = ContextVar("request_id", default="-")

COMPLETES = "completes"  # option of a route handler: it starts completions, so a request it refuses has an ending too
QUIET = "quiet"  # option of a route handler: its requests are logged at DEBUG, unless they fail
MAX_PATH = 200  # logged characters of a path, which is quoted so that it cannot forge a line
IN_MESSAGE = frozenset({"method", "path", "status"})  # fields that the message of a request's line contains already
_VALID_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")
_encode = msgspec.json.Encoder(enc_hook=str).encode  # takes a tenth of the time of `json`: 0.5 µs a line
_encode_ascii = json.JSONEncoder(separators=(",", ":"), default=str).encode


def configure_logging(level: str, format: LogFormat) -> None:
    """Write the log to stderr, one line a record; `level` is the lowest written, for the loggers below `app`."""
    dictConfig(logging_config(level, format))
    logging.captureWarnings(True)
    if logging.lastResort is not None:  # for other loggers; a handler of the root would repeat the lines of `app`
        logging.lastResort.setFormatter(_formatter(format)())


def logging_config(level: str, format: LogFormat) -> dict[str, Any]:
    """Return the configuration for `logging.config`; it turns the access log of uvicorn off."""
    stderr: dict[str, Any] = {"handlers": ["stderr"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"app.web.logs.{_formatter(format).__name__}"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {
            "app": {"level": level, "handlers": ["stderr"]},
            "app.requests": stderr,  # one line even if the root has a handler
            "py.warnings": stderr,
            "uvicorn": stderr | {"level": "INFO"},
            "uvicorn.access": {"handlers": [], "propagate": False},
        },
    }


class JsonFormatter(logging.Formatter):
    """Formats a record, with its traceback if there is one, as one JSON object in ASCII, which fits any terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03}+00:00",
            "level": record.levelname,
            "logger": record.name,
            "request_id": current_request_id.get(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        try:
            return _encode(line).decode("ascii")
        except UnicodeError:  # some text is not ASCII, or is half a surrogate pair
            return _encode_ascii(line)


@lru_cache(maxsize=2)
def _second(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class TextFormatter(logging.Formatter):
    """Formats a record for a person, with its fields at the end of the line, and its traceback below, indented.

    What is not printable is escaped, so that the text of an exception forges no line, and controls no terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line and its traceback."""
        fields: dict[str, object] = getattr(record, "fields", {})
        shown = "".join(f" {name}={value}" for name, value in fields.items() if name not in IN_MESSAGE)
        head = f"{self.formatTime(record)} {record.levelname} [{current_request_id.get()}] {record.name}: "
        lines = [head + record.getMessage() + shown]
        if record.exc_info:
            lines += self.formatException(record.exc_info).split("\n")
        if record.stack_info:
            lines += record.stack_info.split("\n")
        return "\n  ".join(map(_printable, lines))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _formatter(format: LogFormat) -> type[logging.Formatter]:
    """Return the class for the format; `auto` is text if a person reads stderr on a terminal."""
    is_text = format == "text" or (format == "auto" and sys.stderr.isatty())
    return TextFormatter if is_text else JsonFormatter


def with_access_log(app: Litestar, observers: Sequence[Observer]) -> Litestar:
    """Add the header `x-request-id` to each response of an application, and log one line for each request.

    This wraps the application itself, because Litestar answers unknown paths before any middleware. The observers are
    called for requests that are refused before their completion begins.
    """
    handle = app.asgi_handler

    async def handle_and_log(scope: Scope, receive: Receive, send: Send) -> None:
        began, status = perf_counter(), 0
        request_id = _request_id(scope)
        current_request_id.set(request_id)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await handle(scope, receive, send_with_id)
        finally:
            _finish(scope, status, perf_counter() - began, observers)

    app.asgi_handler = handle_and_log
    return app


def _request_id(scope: Scope) -> str:
    """Return the id that the client sent, if it is a valid one, or a new one."""
    sent = b""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            sent = value
    return sent.decode() if _VALID_ID.match(sent) else new_id()


def new_id() -> str:
    """Return an id for a request whose client sent none."""
    return f"req_{token_hex(16)}"


def _finish(scope: Scope, status: int, duration: float, observers: Sequence[Observer]) -> None:
    """Report a refused completion to the observers, and log the request; a status of 0 is no response."""
    state: dict[str, Any] = scope["state"]
    options: dict[str, Any] = getattr(scope.get("route_handler"), "opt", {})
    record: Record | None = state.get("completion")
    if record is None and options.get(COMPLETES):
        record = Record(observers=tuple(observers), ended=_ending(status), error=state.get("error"))
        record.end(None)
    level = logging.DEBUG if options.get(QUIET) and status < 400 else logging.INFO
    if not logger.isEnabledFor(level):
        return
    method, path = scope.get("method", "WEBSOCKET"), _quoted(scope["path"][:MAX_PATH])
    fields: dict[str, object] = {"method": method, "path": path, "duration": round(duration, 6)}
    if status:
        fields["status"] = status
    if record is not None:
        fields |= fields_of(record)
    elif (error := state.get("error")) is not None:
        fields["error"] = error
    # `logger.log` would find its caller first, which takes 3 µs, and check each name of `extra`
    line = logger.makeRecord(logger.name, level, __file__, 0, "%s %s %s", (method, path, status or "-"), None)
    line.fields = fields
    logger.handle(line)


@lru_cache(maxsize=256)
def _quoted(path: str) -> str:
    return quote(path, errors="replace")[:MAX_PATH]


def fields_of(record: Record) -> dict[str, object]:
    """Return the fields of a line of the log that tell of a completion, as far as they are known."""
    tokens = {"prompt_tokens": record.prompt_tokens, "completion_tokens": record.completion_tokens}
    fields = {
        "model": record.model,
        "completion": record.id,
        "stream": record.stream if record.model else None,
        "first_chunk": record.first_chunk and round(record.first_chunk, 6),
        "chunks": record.chunks if record.stream else None,
        "usage": tokens if any(count is not None for count in tokens.values()) else None,
        "ended": record.ended,
        "error": record.error,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _ending(status: int) -> Ending:
    """Return how a request ended that was refused before its completion began."""
    if status == 0:
        return "client_left"
    return "rejected" if status < 500 or status == 503 else "error"
