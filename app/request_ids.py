"""The id of a request: on its answer as `x-request-id`, and in every line that it logs."""

import logging
import re
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

from litestar.datastructures import MutableScopeHeaders
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["RequestIdFilter", "RequestIds", "add_request_id"]

_SANE = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")
_current: ContextVar[str] = ContextVar("request_id", default="-")


class RequestIds(ASGIMiddleware):
    """Makes the id known to what is logged while the request is served."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Serve the request under its id."""
        _current.set(_id_of(scope))
        await next_app(scope, receive, send)


class RequestIdFilter(logging.Filter):
    """Gives a log record the attribute `request_id`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, with the id."""
        record.request_id = _current.get()
        return True


async def add_request_id(message: Message, scope: Scope) -> None:
    """Send the id along: a hook before sending, as unknown paths never reach a middleware."""
    if message["type"] == "http.response.start":
        MutableScopeHeaders.from_message(message)["x-request-id"] = _id_of(scope)


def _id_of(scope: Scope) -> str:
    """The caller's own id if it is of sane form, else a new one; always the same for one request."""
    state: dict[str, Any] = scope["state"]
    if "request_id" not in state:
        own = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        state["request_id"] = own.decode() if _SANE.match(own) else f"req_{uuid4().hex}"
    request_id: str = state["request_id"]
    return request_id
