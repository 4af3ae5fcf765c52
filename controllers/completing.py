"""What the endpoints that complete have in common: a body in, and one JSON object or a stream out."""

from functools import partial
from typing import Any

from litestar import MediaType, Request, Response

from app.engine.engine import Engine, Services
from app.engine.frames import encode
from app.engine.invoke import Headers
from app.engine.renderer import ChatForm, MakeForm
from app.engine.request import parse_json
from app.engine.response import EventStream, client_left
from app.responses.request import current_request

__all__ = ["complete", "json_body"]

Json = dict[str, Any]


def json_body(request: Request[Any, Any, Any], body: bytes) -> Json:
    """The JSON object that the body of a request holds."""
    content_type = dict(request.scope["headers"]).get(b"content-type", b"")
    return parse_json(body, content_type=content_type, depth=request.app.state.settings.max_json_depth)


async def complete(
    request: Request[Any, Any, Any],
    body: Json,
    services: Services,
    form: MakeForm = ChatForm,
    responses_request: Json | None = None,
) -> Response[Any]:
    """Answer what asks for a chat completion, in this form: the road of every completion."""
    current_request.set(responses_request)
    engine: Engine = request.app.state.engine
    headers = Headers(request.scope["headers"])
    completion = await engine.start(body, services, headers, partial(client_left, request.receive), form)
    request.scope["state"]["completion"] = completion.record
    if completion.stream:
        frames = completion.frames()
        return EventStream(await anext(frames), frames)
    return Response(encode(await completion.collect()), media_type=MediaType.JSON)
