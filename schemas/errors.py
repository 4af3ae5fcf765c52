"""The error object that every failed request answers with."""

from msgspec import Struct


class ErrorObject(Struct, frozen=True):
    """What went wrong. All four keys are always on the wire, `null` where there is nothing to say.

    `type` is a class of errors (`invalid_request_error`, `rate_limit_error`, `server_error`),
    `code` the one error a program can tell apart, `param` the field of the request at fault.
    """

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(Struct, frozen=True):
    """The body of an error, and the last frame but one of a stream that failed."""

    error: ErrorObject
