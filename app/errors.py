"""Errors: what a service raises, and what a client reads.

CompletionError
├── InvalidRequestError      400, or another 4xx: the request is at fault
│   ├── InvalidValueError    400: a value in it
│   └── HeadersTooLargeError 431: the head of the request is too large
├── AuthenticationError      401: no key, or a wrong one
├── ModelNotFoundError       404: no such model
├── RateLimitError           429: too many requests of one caller
├── ClientDisconnectedError  499: nobody is left to answer
├── OverloadedError          503: too many completions at once, or shutting down
└── CompletionTimeoutError   504: the service took too long
"""

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException

from schemas.errors import ErrorObject, ErrorResponse

__all__ = [
    "AuthenticationError",
    "ClientDisconnectedError",
    "CompletionError",
    "CompletionTimeoutError",
    "HeadersTooLargeError",
    "InvalidRequestError",
    "InvalidValueError",
    "ModelNotFoundError",
    "OverloadedError",
    "RateLimitError",
    "respond_with_error",
    "to_completion_error",
]

logger = logging.getLogger("app.errors")

MAX_ECHO = 200  # characters of a client's input that an error repeats

CODES = {
    401: "invalid_api_key",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    415: "unsupported_media_type",
    429: "rate_limit_exceeded",
    431: "request_headers_too_large",
    503: "overloaded",
    504: "timeout",
}


class CompletionError(Exception):
    """An error that the client reads as it stands, before a stream or in the middle of it.

    Args:
        message: a sentence that says what was wrong and what to do.
        status: the HTTP status, if no part of the answer was sent yet.
        type: the class of error; by the status unless given.
        code: what a program tells the error by, e.g. `context_length_exceeded`.
        param: the field of the request at fault, e.g. `messages[2].role`.
        headers: HTTP headers to send along, e.g. `{"retry-after": "1"}`.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 500,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.type = type or _type_of(status)
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    def to_response(self) -> ErrorResponse:
        """The error as it goes over the wire."""
        return ErrorResponse(ErrorObject(self.message, self.type, self.param, self.code))


class InvalidRequestError(CompletionError):
    """The request is at fault; `param` names the field, if it is one."""

    def __init__(self, message: str, *, param: str | None = None, status: int = 400) -> None:
        super().__init__(_clipped(message), status=status, param=param and _clipped(param), code=CODES.get(status))


class InvalidValueError(InvalidRequestError):
    """A value of the request is of the wrong type, or out of range; `fact` is what msgspec says of it."""

    def __init__(self, param: str, *, fact: str) -> None:
        super().__init__(f"Invalid value for '{param}': {fact[:1].lower()}{fact[1:]}.", param=param or None)


class AuthenticationError(CompletionError):
    """The caller has not shown a key that the server knows."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=401, code=CODES[401], headers={"www-authenticate": "Bearer"})


class HeadersTooLargeError(InvalidRequestError):
    """The first line and the headers of the request are larger than the server allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The headers are too large: at most {limit} bytes.", status=431)


class ModelNotFoundError(CompletionError):
    """The model is not listed; the message names those that are."""

    def __init__(self, name: str, *, known: Iterable[str]) -> None:
        available = ", ".join(sorted(known)) or "none"
        message = f"The model '{_clipped(name)}' does not exist. Available: {available}."
        super().__init__(message, status=404, code="model_not_found", param="model")


class RateLimitError(CompletionError):
    """The caller has sent too many requests; `wait` is the time until the next one, in seconds."""

    def __init__(self, limit: int, *, wait: float, headers: Mapping[str, str]) -> None:
        seconds = max(math.ceil(wait), 1)
        message = f"Rate limit reached: {limit} requests a minute. Try again in {seconds} s."
        headers = {"retry-after": str(seconds), **headers}
        super().__init__(message, status=429, code=CODES[429], headers=headers)


class ClientDisconnectedError(CompletionError):
    """The client has left: nobody reads this."""

    def __init__(self) -> None:
        super().__init__("The client has closed the connection.", status=499)


class OverloadedError(CompletionError):
    """The server cannot take another completion now."""

    def __init__(self, message: str = "The server is overloaded. Try again in a moment.") -> None:
        super().__init__(message, status=503, code="overloaded", headers={"retry-after": "1"})


class CompletionTimeoutError(CompletionError):
    """The service took longer than the server allows."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The completion took longer than {seconds:g} s.", status=504, code="timeout")


def to_completion_error(error: BaseException) -> CompletionError:
    """The error that a client may read of any exception.

    What nobody meant for the client is logged with its traceback, and becomes a 500 that reveals nothing.
    """
    if isinstance(error, CompletionError):
        return error
    match error:
        case ValidationException(extra=[{"key": str(param), "message": str(fact)}, *_]):
            return InvalidValueError(param, fact=fact)
    if isinstance(error, HTTPException):
        code = CODES.get(error.status_code)
        return CompletionError(error.detail, status=error.status_code, code=code, headers=error.headers)
    logger.error("A request failed", exc_info=error)
    return CompletionError("The server had an error while processing the request.")


def respond_with_error(request: Request[Any, Any, Any], error: Exception) -> Response[ErrorResponse]:
    """The answer to a request that failed, whoever raised the error: Litestar's handler of exceptions."""
    found = to_completion_error(error)
    request.scope["state"]["error"] = found.code or found.type
    if "route_handler" not in request.scope:
        found.message = f"{request.method} {_clipped(request.scope['path'])} is not served here; /schema lists what is."
    return Response(found.to_response(), status_code=found.status, headers=found.headers, media_type=MediaType.JSON)


def _type_of(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_ECHO else text[: MAX_ECHO - 1] + "…"
