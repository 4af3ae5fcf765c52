"""The exception handler of the application: every error leaves as OpenAI's error object."""

from typing import Any

from litestar import MediaType, Request, Response
from litestar.exceptions import ValidationException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from app.engine.frames import encode
from app.engine.request import invalid_field
from app.errors import InvalidRequestError, InvalidValueError, clipped, to_completion_error


def respond_with_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Return the response for a request that failed, whatever raised the exception."""
    match error:
        case RequestEntityTooLarge():
            limit = request.app.request_max_body_size
            error = InvalidRequestError(f"The body has more than {limit:,} bytes, the most that is taken.", status=413)
        case ValidationException(extra=[{"key": "data", "message": "'data'"}, *_]):
            error = InvalidValueError("", fact="It is missing")
        case ValidationException(extra=[{"key": str(param), "message": str(fact), "source": "body"}, *_]):
            error = invalid_field("" if param == "data" else param, fact)  # the name of the handler's argument
        case ValidationException(extra=[{"key": str(param), "message": str(fact)}, *_]):
            error = InvalidValueError(param, fact=fact)
    sent = to_completion_error(error)
    request.scope["state"]["error"] = sent.code or sent.type
    if "route_handler" not in request.scope and sent.status in (404, 405):
        path, schema = clipped(request.scope["path"]), f"{request.scope.get('root_path', '')}/schema"
        sent.message = f"{request.method} {path} is not served here; {schema} lists what is."
        sent.headers = {name: value.replace(", websocket", "") for name, value in sent.headers.items()}  # in `allow`
    return Response(
        encode(sent.to_response()), status_code=sent.status, headers=sent.headers, media_type=MediaType.JSON
    )
