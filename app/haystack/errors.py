"""Errors of components, as the client may read them."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from haystack.components.generators.chat import FallbackChatGenerator
from haystack.core.errors import PipelineRuntimeError

from app.errors import CompletionError, InvalidRequestError

logger = logging.getLogger("app.haystack")

FAULTS_OF_THE_REQUEST = (400, 413, 422)
UPSTREAM_ERRORS = {"openai.APIError", "anthropic.APIError", "ollama.ResponseError", "google.APIError"}
NO_IMAGES_IN_RESULTS = "Unsupported tool result"  # begins what Haystack raises in a generator that takes text alone


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise the error of a component instead of the pipeline's; a CompletionError for one of an upstream."""
    try:
        yield
    except Exception as error:
        cause = _component_error(error)
        if _is_upstreams(cause):
            raise _upstream_error(cause) from error
        if isinstance(cause, ValueError) and str(cause).startswith(NO_IMAGES_IN_RESULTS):
            raise InvalidRequestError("This model cannot read images in the result of a tool.") from error
        raise cause from cause.__cause__  # without the pipeline's error in the traceback


def _component_error(error: Exception) -> Exception:
    """Return the error behind those of pipelines, of generators with fallbacks, and of generators that wrap it."""
    wraps = isinstance(error, PipelineRuntimeError) or (type(error) is RuntimeError and _is_upstreams(error.__cause__))
    inner = error.__cause__ if wraps else _last_of_fallbacks(error)
    return _component_error(inner) if isinstance(inner, Exception) else error


def _last_of_fallbacks(error: Exception) -> object:
    """Return the error of the last of several generators, of which a FallbackChatGenerator keeps the text alone."""
    raised_in: dict[str, Any] = {}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        raised_in = frame.f_locals
    return raised_in.get("last_error") if isinstance(raised_in.get("self"), FallbackChatGenerator) else None


def _is_upstreams(error: object) -> bool:
    names = {f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in type(error).__mro__}
    return not names.isdisjoint(UPSTREAM_ERRORS)


def _upstream_error(error: Any) -> CompletionError:
    """Return what the client may read: other messages than those about its request may name our account or key."""
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    if status in FAULTS_OF_THE_REQUEST:
        body = getattr(error, "body", None) or getattr(error, "details", None) or {}  # details are Google's
        body = body.get("error") or body if isinstance(body, dict) else {}
        fields: Any = {name: body[name] for name in ("message", "code", "param") if isinstance(body.get(name), str)}
        return CompletionError(**{"message": "The upstream model refused the request.", **fields}, status=status)
    logger.error("The upstream model failed", exc_info=error)
    if status == 429:
        wait = getattr(getattr(error, "response", None), "headers", {}).get("retry-after")
        return CompletionError(
            "The upstream model is over its rate limit. Try again later.",
            status=429,
            code="rate_limit_exceeded",
            headers={"retry-after": wait} if wait else None,
        )
    if type(error).__name__ == "APITimeoutError":
        return CompletionError("The upstream model took too long.", status=504, code="timeout")
    return CompletionError("The upstream model failed.", status=502, code="upstream_error")
