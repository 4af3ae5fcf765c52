"""The body of every error response."""

from msgspec import Struct


class ErrorObject(Struct, frozen=True):
    """Error object, all four keys of which are always sent.

    `type` is a class of errors (e.g. `rate_limit_error`), `code` identifies one, `param` is the wrong request field.
    """

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(Struct, frozen=True):
    """Body of an error response, and the frame before `[DONE]` in a stream that failed."""

    error: ErrorObject
