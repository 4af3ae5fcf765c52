"""Errors of components, as the client may read them."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from haystack.core.errors import PipelineRuntimeError

from app.errors import CompletionError

logger = logging.getLogger("app.haystack")

FAULTS_OF_THE_REQUEST = (400, 413, 422)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise the error of a component instead of the pipeline's; a CompletionError for one of the `openai` package."""
    try:
        yield
    except Exception as error:
        cause = error
        while isinstance(cause, PipelineRuntimeError) and isinstance(cause.__cause__, Exception):
            cause = cause.__cause__
        openai = sys.modules.get("openai")
        if openai is not None and isinstance(cause, openai.APIError):
            raise _upstream_error(cause, is_timeout=isinstance(cause, openai.APITimeoutError)) from error
        raise cause from cause.__cause__  # without the pipeline's error in the traceback


def _upstream_error(error: Any, *, is_timeout: bool) -> CompletionError:
    """Return what the client may read: other messages than those about its request may name our account or key."""
    status = getattr(error, "status_code", None)
    if status in FAULTS_OF_THE_REQUEST:
        body = error.body if isinstance(error.body, dict) else {}
        fields = {name: body[name] for name in ("message", "code", "param") if isinstance(body.get(name), str)}
        return CompletionError(**{"message": "The upstream model refused the request.", **fields}, status=status)
    logger.error("The upstream model failed", exc_info=error)
    if status == 429:
        wait = error.response.headers.get("retry-after")
        return CompletionError(
            "The upstream model is over its rate limit. Try again later.",
            status=429,
            code="rate_limit_exceeded",
            headers={"retry-after": wait} if wait else None,
        )
    if is_timeout:
        return CompletionError("The upstream model took too long.", status=504, code="timeout")
    return CompletionError("The upstream model failed.", status=502, code="upstream_error")
