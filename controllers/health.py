"""Probes for load balancers and orchestrators."""

from typing import Any, Literal

from litestar import Controller, Request, get
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from msgspec import Struct

from app.engine.engine import Engine
from app.errors import OverloadedError
from app.pipeline_service import PipelineService
from app.services import CompletionService
from app.web.authentication import PUBLIC
from app.web.logs import QUIET
from controllers.openapi import errors


class Health(Struct, frozen=True):
    """The state of the server."""

    status: Literal["alive", "ready"]


OPTIONS = {QUIET: True, PUBLIC: True}


class HealthController(Controller):
    """Probes, which need no API key."""

    tags = ("health",)
    opt = OPTIONS
    security = ({},)

    @get("/health", summary="Is the server alive?", response_description="It is.")
    async def health(self) -> Health:
        """Answer as long as the event loop does."""
        return Health("alive")

    @get(
        "/ready",
        summary="Does the server take completions?",
        response_description="It does.",
        responses=errors({503: "A model is being loaded, or the server is shutting down."}),
    )
    async def ready(
        self,
        request: Request[Any, Any, Any],
        completion_service: NamedDependency[SkipValidation[CompletionService]],
        pipelines: NamedDependency[SkipValidation[PipelineService]],
    ) -> Health:
        """Answer 503 while the server shuts down, and while a preloaded model or the service is `loading`."""
        engine: Engine = request.app.state.engine
        if engine.draining:
            raise OverloadedError("The server is shutting down.")
        if pipelines.loading or getattr(completion_service, "loading", False):
            raise OverloadedError("A model is being loaded. Try again in a moment.")
        return Health("ready")
