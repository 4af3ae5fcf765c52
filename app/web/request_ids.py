"""The id of a request: on its answer as `x-request-id`, and in every line that it logs."""

import logging
import re
from secrets import token_hex

from litestar.types import Scope

from app.engine.observers import current_request_id

__all__ = ["RequestIdFilter", "note_request_id"]

_SANE = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")


def note_request_id(scope: Scope) -> str:
    """Make the id of a request known to all that is logged while it is served.

    It is the caller's own if that is of sane form, else a new one.
    """
    own = dict(scope["headers"]).get(b"x-request-id", b"")
    request_id = own.decode() if _SANE.match(own) else f"req_{token_hex(16)}"
    current_request_id.set(request_id)
    return request_id


class RequestIdFilter(logging.Filter):
    """Gives a log record the attribute `request_id`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, with the id."""
        record.request_id = current_request_id.get()
        return True
