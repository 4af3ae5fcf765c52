"""Errors of the models that an agent asks, as the client may read them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.errors import CompletionError

logger = logging.getLogger("app.agents")

API_ERRORS = {"APIError", "ModelAPIError"}  # of the packages openai, anthropic, groq …, and of pydantic_ai
FAULTS_OF_THE_REQUEST = (400, 413, 422)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise a CompletionError for the error of a model's API; packages are told by names, as none need be there."""
    try:
        yield
    except Exception as error:
        failures = error.exceptions[-1:] if isinstance(error, ExceptionGroup) else (error,)
        for failure in failures:
            if API_ERRORS & _classes(failure):
                raise _upstream_error(failure) from error
        raise


def _upstream_error(error: Any) -> CompletionError:
    """Return what the client may read: other messages than those about its request may name our account or key."""
    status = getattr(error, "status_code", None)
    if status in FAULTS_OF_THE_REQUEST:
        body = error.body if isinstance(error.body, dict) else {}
        body = body["error"] if isinstance(body.get("error"), dict) else body
        fields = {name: body[name] for name in ("message", "code", "param") if isinstance(body.get(name), str)}
        return CompletionError(**{"message": "The upstream model refused the request.", **fields}, status=status)
    logger.error("The upstream model failed", exc_info=error)
    if status == 429:
        headers = getattr(error, "headers", None) or getattr(getattr(error, "response", None), "headers", {})
        return CompletionError(
            "The upstream model is over its rate limit. Try again later.",
            status=429,
            code="rate_limit_exceeded",
            headers={"retry-after": headers.get("retry-after")},
        )
    if any("Timeout" in name for name in _classes(error)):
        return CompletionError("The upstream model took too long.", status=504, code="timeout")
    return CompletionError("The upstream model failed.", status=502, code="upstream_error")


def _classes(error: BaseException) -> set[str]:
    return {base.__name__ for base in type(error).__mro__}
