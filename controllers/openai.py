"""OpenAI's endpoints for models and chat completions, under `/v1` and without it."""

from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, RawBody, SkipValidation
from litestar.status_codes import HTTP_200_OK

from app.engine.engine import Services
from app.engine.models import full_models
from app.errors import ModelNotFoundError
from app.services import CompletionService, Hooks, ModelService
from app.settings import Settings
from app.web.logs import COMPLETES
from controllers.completing import complete, json_body
from controllers.openapi import ANSWER, COMPLETION_ERRORS, ERRORS, MODEL_ERRORS, ChatCompletionOperation
from schemas.models import Model, ModelList

__all__ = ["OpenAIController"]


class OpenAIController(Controller):
    """The models, and the completions they make.

    It defines none of the dependencies that its handlers name: `app/web/dependencies.py` does, and a
    subclass, a router or `create_app` may replace any.
    """

    tags = ("openai",)

    @get(["/v1/models", "/models"], summary="List models", response_description="The models.", responses=ERRORS)
    async def list_models(
        self,
        model_service: NamedDependency[SkipValidation[ModelService]],
        settings: NamedDependency[SkipValidation[Settings]],
    ) -> ModelList:
        """All models that a request may name."""
        return ModelList(data=await full_models(model_service, owned_by=settings.owned_by))

    @get(
        ["/v1/models/{model_id:path}", "/models/{model_id:path}"],
        summary="Retrieve a model",
        response_description="The model.",
        responses=MODEL_ERRORS,
    )
    async def retrieve_model(
        self,
        model_id: FromPath[str],
        model_service: NamedDependency[SkipValidation[ModelService]],
        settings: NamedDependency[SkipValidation[Settings]],
    ) -> Model:
        """One model by its name, which may contain slashes."""
        name = model_id.removeprefix("/")
        models = {model.id: model for model in await full_models(model_service, owned_by=settings.owned_by)}
        if name not in models:
            raise ModelNotFoundError(name, known=models)
        return models[name]

    @post(
        ["/v1/chat/completions", "/chat/completions"],
        summary="Create a chat completion",
        status_code=HTTP_200_OK,
        responses=ANSWER | COMPLETION_ERRORS,
        operation_class=ChatCompletionOperation,
        opt={COMPLETES: True},
    )
    async def create_chat_completion(
        self,
        request: Request[Any, Any, Any],
        body: RawBody,
        completion_service: NamedDependency[SkipValidation[CompletionService]],
        model_service: NamedDependency[SkipValidation[ModelService]],
        hooks: NamedDependency[SkipValidation[Hooks]],
    ) -> Response[Any]:
        """Answer a chat: as one JSON object, or with `stream` as a stream of events."""
        services = Services(completion_service, model_service, hooks)
        return await complete(request, json_body(request, body), services)
