"""What a client is told when a component fails."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from haystack.core.errors import PipelineRuntimeError

from app.errors import CompletionError

__all__ = ["translated"]

logger = logging.getLogger("app.haystack")

OF_THE_REQUEST = (400, 413, 422)


@contextmanager
def translated() -> Iterator[None]:
    """Raise what a component raised, and not what the pipeline makes of it; of an upstream, what a client may know.

    Raises:
        CompletionError: the upstream of a component of OpenAI's refused the request, or failed.
    """
    try:
        yield
    except Exception as error:
        cause = _cause_of(error)
        openai = sys.modules.get("openai")
        if openai is not None and isinstance(cause, openai.APIError):
            raise _of_upstream(cause, openai) from error
        raise cause from cause.__cause__  # its own, and not the pipeline's error


def _cause_of(error: Exception) -> Exception:
    while isinstance(error, PipelineRuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _of_upstream(error: Any, openai: ModuleType) -> CompletionError:
    """An upstream's own words go on only where the request is at fault: others may name our account, or our key."""
    status = getattr(error, "status_code", None)
    if status in OF_THE_REQUEST:
        body = error.body if isinstance(error.body, dict) else {}
        said = {name: body[name] for name in ("message", "code", "param") if isinstance(body.get(name), str)}
        return CompletionError(**{"message": "The upstream model refused the request.", **said}, status=status)
    logger.error("The upstream model failed", exc_info=error)
    if status == 429:
        wait = error.response.headers.get("retry-after")
        return CompletionError(
            "The upstream model is over its rate limit. Try again later.",
            status=429,
            code="rate_limit_exceeded",
            headers={"retry-after": wait} if wait else None,
        )
    if isinstance(error, openai.APITimeoutError):
        return CompletionError("The upstream model took too long.", status=504, code="timeout")
    return CompletionError("The upstream model failed.", status=502, code="upstream_error")
