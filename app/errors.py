"""The errors that a service raises and a client reads.

CompletionError
├── InvalidRequestError      400, or another 4xx: the request is wrong
│   ├── InvalidValueError    400: a value in it is wrong
│   └── HeadersTooLargeError 431: the headers of the request are too large
├── AuthenticationError      401: no API key, or a wrong one
├── ModelNotFoundError       404: no such model
├── RateLimitError           429: too many requests by one caller
├── ClientDisconnectedError  499: the client has left; never sent
├── OverloadedError          503: too many completions at once, or shutting down
└── CompletionTimeoutError   504: the completion took too long
"""

import logging
import math
import re
from collections.abc import Iterable, Mapping

from schemas.errors import ErrorObject, ErrorResponse

logger = logging.getLogger("app.errors")

MAX_ECHO = 200  # characters of a client's input that an error repeats
MAX_NAMES = 20  # of models in an error

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


_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*")
_SERVERS_HEADERS = frozenset({"connection", "content-length", "content-type", "transfer-encoding", "x-request-id"})


class CompletionError(Exception):
    """An error that the client reads as it is, before a stream or in the middle of one.

    Values of other types become text, and headers that cannot be sent are left out.

    Args:
        message: A sentence that says what was wrong and what to do.
        status: The HTTP status, if no part of the answer was sent yet; 500 unless it is one of an error.
        type: The class of the error; derived from the status by default.
        code: Identifies the error for programs, e.g. `context_length_exceeded`.
        param: The wrong field of the request, e.g. `messages[2].role`.
        headers: HTTP headers of the response, e.g. `{"retry-after": "1"}`.
    """

    def __init__(
        self,
        message: object,
        *,
        status: int = 500,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = str(message)
        self.status = int(status) if isinstance(status, int) and 400 <= status < 600 else 500
        self.type = _text(type) or _type_of(self.status)
        self.code = _text(code)
        self.param = _text(param)
        self.headers = _sendable(headers)

    def to_response(self) -> ErrorResponse:
        """Return the body of the error response."""
        return ErrorResponse(ErrorObject(self.message, self.type, self.param, self.code))


class InvalidRequestError(CompletionError):
    """The request is wrong; `param` names the field, if it is one."""

    def __init__(self, message: object, *, param: str | None = None, status: int = 400) -> None:
        super().__init__(
            clipped(str(message)), status=status, param=param and clipped(str(param)), code=CODES.get(status)
        )


class InvalidValueError(InvalidRequestError):
    """A value in the request has the wrong type or is out of range; `fact` is the message of msgspec."""

    def __init__(self, param: str, *, fact: str) -> None:
        subject = f"Invalid value for '{param}'" if param else "Invalid body"
        super().__init__(f"{subject}: {fact[:1].lower()}{fact[1:]}.", param=param or None)


class HeadersTooLargeError(InvalidRequestError):
    """The request line and the headers are larger than the server allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The headers are too large: at most {limit} bytes.", status=431)


class AuthenticationError(CompletionError):
    """The request has no valid API key."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=401, code=CODES[401], headers={"www-authenticate": "Bearer"})


class ModelNotFoundError(CompletionError):
    """There is no such model; the message names those there are, at most 20 of them, if `known` is given."""

    def __init__(self, name: str, *, known: Iterable[str] | None = None) -> None:
        fact = "is not served here"
        if known is not None:
            names = sorted(known)
            more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            fact = f"does not exist. Available: {', '.join(names[:MAX_NAMES]) or 'none'}{more}"
        super().__init__(f"The model '{clipped(name)}' {fact}.", status=404, code="model_not_found", param="model")


class RateLimitError(CompletionError):
    """The caller has sent too many requests; `wait` is the time until the next one is allowed, in seconds."""

    def __init__(self, limit: int, *, wait: float, headers: Mapping[str, str]) -> None:
        seconds = max(math.ceil(wait), 1)
        message = f"Rate limit reached: {limit} requests a minute. Try again in {seconds} s."
        super().__init__(message, status=429, code=CODES[429], headers={"retry-after": str(seconds), **headers})


class ClientDisconnectedError(CompletionError):
    """The client has closed the connection, so nothing is sent."""

    def __init__(self) -> None:
        super().__init__("The client has closed the connection.", status=499)


class OverloadedError(CompletionError):
    """The server cannot start another completion now."""

    def __init__(self, message: str = "The server is overloaded. Try again in a moment.") -> None:
        super().__init__(message, status=503, code=CODES[503], headers={"retry-after": "1"})


class CompletionTimeoutError(CompletionError):
    """The completion took longer than `COMPLETION_TIMEOUT`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The completion took longer than {seconds:g} s.", status=504, code=CODES[504])


def to_completion_error(
    error: BaseException, *, model: str | None = None, fact: str = "A request failed"
) -> CompletionError:
    """Return the error that a client may read for any exception.

    A web framework's `HTTPException`, such as Litestar's or Starlette's, keeps its status and detail. Any other
    exception, as well as Litestar's error about a wrong configuration, is logged with its traceback, by the fact and
    the model that was asked, and becomes a 500 that reveals nothing.
    """
    if isinstance(error, CompletionError):
        return error
    names = {base.__name__ for base in type(error).__mro__}  # by name: no framework is imported here
    if "HTTPException" in names and "ImproperlyConfiguredException" not in names:
        status, detail = getattr(error, "status_code", 500), getattr(error, "detail", "")
        sent = CompletionError(detail, status=status, headers=getattr(error, "headers", None))
        sent.code = CODES.get(sent.status)
        return sent
    logger.error(fact, exc_info=error, extra={"fields": {"model": model} if model else {}})
    return CompletionError("The server had an error while processing the request.")


def log_late(error: BaseException | None) -> None:
    """Log an error that nobody else sees, as its completion had ended before, e.g. because its client left."""
    if isinstance(error, Exception) and not isinstance(error, CompletionError):
        logger.warning("A model's code failed after its completion had ended", exc_info=error)


def _type_of(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _sendable(headers: object) -> dict[str, str]:
    """Return those headers that HTTP allows, without those that the server sets."""
    given = headers.items() if isinstance(headers, Mapping) else ()
    return {
        str(name): str(value)
        for name, value in given
        if value is not None and str(name).lower() not in _SERVERS_HEADERS and _HEADER.fullmatch(f"{name}:{value}")
    }


def clipped(text: str) -> str:
    """Return the text, cut to the length that an error may repeat."""
    return text if len(text) <= MAX_ECHO else text[: MAX_ECHO - 1] + "…"
