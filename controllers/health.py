"""Whether the server lives, and whether it takes completions: for load balancers and orchestrators."""

from typing import Any

from litestar import Controller, Request, get
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from app.engine.engine import Engine
from app.errors import OverloadedError
from app.registry import PipelineService
from app.services import CompletionService
from app.web.authentication import OPEN
from app.web.logs import QUIET
from controllers.openapi import errors
from schemas.health import Health

__all__ = ["HealthController"]

OPTIONS = {QUIET: True, OPEN: True}
NOT_READY = errors({503: "A model is being loaded, or the server is shutting down."})


class HealthController(Controller):
    """Open to everyone."""

    tags = ("health",)
    opt = OPTIONS
    security = ({},)  # none, whatever the rest of the document asks for

    @get("/health", summary="Is the server alive?", response_description="It is.")
    async def health(self) -> Health:
        """It answers, so it is."""
        return Health("alive")

    @get(
        "/ready",
        summary="Does the server take completions?",
        response_description="It does.",
        responses=NOT_READY,
    )
    async def ready(
        self,
        request: Request[Any, Any, Any],
        completion_service: NamedDependency[SkipValidation[CompletionService]],
        pipelines: NamedDependency[SkipValidation[PipelineService]],
    ) -> Health:
        """Not while it shuts down, nor while its service says that it is `loading`."""
        engine: Engine = request.app.state.engine
        if engine.draining:
            raise OverloadedError("The server is shutting down.")
        if pipelines.loading or getattr(completion_service, "loading", False):
            raise OverloadedError("A model is being loaded. Try again in a moment.")
        return Health("ready")
