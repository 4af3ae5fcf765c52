"""OpenAI's endpoints for models and chat completions, under `/v1` and without it."""

from functools import partial
from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, RawBody, SkipValidation
from litestar.status_codes import HTTP_200_OK

from app.engine.chat import ChatRenderer, MakeRenderer
from app.engine.engine import Engine
from app.engine.frames import encode
from app.engine.invoke import Headers
from app.engine.request import parse_json
from app.engine.response import EventStream, JsonAnswer, client_left
from app.errors import CODES, CompletionError, ModelNotFoundError
from app.services import ModelService, Services
from app.web.logs import COMPLETES
from controllers.openapi import COMPLETION_ERRORS, ERRORS, MODEL_ERRORS, ChatCompletionOperation, spec
from schemas.chat import ChatCompletion, Json
from schemas.models import Model, ModelList


class OpenAIController(Controller):
    """The models, and chat completions by them.

    It declares none of the dependencies that its handlers name: `app/web/dependencies.py` has their defaults, and
    `app/extensions.py`, a router or a subclass may replace any.
    """

    tags = ("openai",)

    @get(["/v1/models", "/models"], summary="List models", response_description="The models.", responses=ERRORS)
    async def list_models(
        self, request: Request[Any, Any, Any], model_service: NamedDependency[SkipValidation[ModelService]]
    ) -> ModelList:
        """List the models that a request may name."""
        return ModelList(data=await engine_of(request).list_models(model_service))

    @get(
        ["/v1/models/{model_id:path}", "/models/{model_id:path}"],
        summary="Retrieve a model",
        response_description="The model.",
        responses=MODEL_ERRORS,
    )
    async def retrieve_model(
        self,
        request: Request[Any, Any, Any],
        model_id: FromPath[str],
        model_service: NamedDependency[SkipValidation[ModelService]],
    ) -> Model:
        """Return one model by its id, which may contain slashes."""
        name = model_id.removeprefix("/")
        models = {model.id: model for model in await engine_of(request).list_models(model_service)}
        if name not in models:
            raise ModelNotFoundError(name, known=models)
        return models[name]

    @post(
        ["/v1/chat/completions", "/chat/completions"],
        summary="Create a chat completion",
        status_code=HTTP_200_OK,
        responses={200: spec(ChatCompletion, "The completion, or a stream of its chunks."), **COMPLETION_ERRORS},
        operation_class=ChatCompletionOperation,
        opt={COMPLETES: True},
    )
    async def create_chat_completion(
        self,
        request: Request[Any, Any, Any],
        body: RawBody,
        services: NamedDependency[SkipValidation[Services]],
    ) -> Response[Any]:
        """Answer a chat with one JSON object, or with `stream` as a stream of events."""
        return await complete(request, json_body(request, body), services)


def json_body(request: Request[Any, Any, Any], body: bytes) -> Json:
    """Return the JSON object in the body of a request.

    Raises:
        CompletionError: It is not a JSON object, or it is compressed.
    """
    headers = dict(request.scope["headers"])
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        message = "The body must not be compressed: send it without the header 'content-encoding'."
        raise CompletionError(message, status=415, code=CODES[415], headers={"accept-encoding": "identity"})
    return parse_json(
        body, content_type=headers.get(b"content-type", b""), depth=request.app.state.settings.max_json_depth
    )


async def complete(
    request: Request[Any, Any, Any], body: Json, services: Services, renderer: MakeRenderer = ChatRenderer
) -> Response[Any]:
    """Run the chat completion that a body asks for, and return its answer as rendered: whole or as a stream."""
    headers = Headers(request.scope["headers"])
    completion = engine_of(request).start(body, services, headers, partial(client_left, request.receive), renderer)
    request.scope["state"]["completion"] = completion.record
    is_sent = False
    try:
        if not await completion.streams():
            return JsonAnswer(encode(await completion.collect()))
        first = await completion.next_frames()
        is_sent = True
        return EventStream(first or b"", completion)
    finally:
        if not is_sent:
            await completion.close()


def engine_of(request: Request[Any, Any, Any]) -> Engine:
    """Return the engine of the application."""
    engine: Engine = request.app.state.engine
    return engine
