"""OpenAI's embeddings, under `/v1` and without it."""

from dataclasses import dataclass
from typing import Any

from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Operation
from litestar.params import RawBody, SkipValidation
from litestar.status_codes import HTTP_200_OK

from app.embeddings.completion import EmbeddingCompletions, EmbeddingRenderer, check_inputs, completion_body
from app.embeddings.service import EmbeddingService
from app.engine.request import validate
from app.services import Hooks, ModelService, Services
from app.web.logs import COMPLETES
from controllers.openai import complete, json_body
from controllers.openapi import COMPLETION_ERRORS, describe, spec
from schemas.embeddings import EmbeddingList, EmbeddingRequest


@dataclass
class EmbeddingOperation(Operation):
    """The operation that creates embeddings."""

    def __post_init__(self) -> None:
        """Describe the body."""
        describe(self, EmbeddingRequest, {"model": "wordllama", "input": "Hello!"})


class EmbeddingsController(Controller):
    """Embeddings, made by the embedding service.

    As with `OpenAIController`, each dependency may be replaced.
    """

    tags = ("embeddings",)

    @post(
        ["/v1/embeddings", "/embeddings"],
        summary="Create embeddings",
        status_code=HTTP_200_OK,
        responses={200: spec(EmbeddingList, "The embeddings."), **COMPLETION_ERRORS},
        operation_class=EmbeddingOperation,
        opt={COMPLETES: True},
    )
    async def create_embeddings(
        self,
        request: Request[Any, Any, Any],
        body: RawBody,
        embedding_service: NamedDependency[SkipValidation[EmbeddingService]],
        model_service: NamedDependency[SkipValidation[ModelService]],
    ) -> Response[Any]:
        """Return a vector for each text: as numbers, or as Base64 of little-endian 32-bit floats."""
        sent = json_body(request, body)
        checked = validate(sent, EmbeddingRequest)
        check_inputs(checked.inputs, request.app.state.settings)
        completion = completion_body(checked, sent, embedding_service)
        services = Services(EmbeddingCompletions, model_service, Hooks(), "embeddings")  # hooks are for chats
        return await complete(request, completion, services, EmbeddingRenderer)
