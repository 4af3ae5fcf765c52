"""The id of a request: on its answer as `x-request-id`, and in every line that it logs."""

import logging
import re
from contextvars import ContextVar
from secrets import token_hex
from typing import Any

from litestar import Request
from litestar.types import Message, Scope

__all__ = ["RequestIdFilter", "add_request_id", "note_request_id"]

_SANE = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")
_current: ContextVar[str] = ContextVar("request_id", default="-")


async def note_request_id(request: Request[Any, Any, Any]) -> None:
    """Make the id known to what is logged while the request is served: a hook before the handler."""
    _current.set(_id_of(request.scope))


async def add_request_id(message: Message, scope: Scope) -> None:
    """Send the id along: a hook before sending, as unknown paths never reach a handler."""
    if message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], (b"x-request-id", _id_of(scope).encode())]


class RequestIdFilter(logging.Filter):
    """Gives a log record the attribute `request_id`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, with the id."""
        record.request_id = _current.get()
        return True


def _id_of(scope: Scope) -> str:
    """The caller's own id if it is of sane form, else a new one; always the same for one request."""
    state: dict[str, Any] = scope["state"]
    if "request_id" not in state:
        own = dict(scope["headers"]).get(b"x-request-id", b"")
        state["request_id"] = own.decode() if _SANE.match(own) else f"req_{token_hex(16)}"
    request_id: str = state["request_id"]
    return request_id
