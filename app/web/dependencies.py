"""The default providers of the dependencies that the controllers name."""

from typing import Any, cast

from litestar import Litestar
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation
from litestar.routes import HTTPRoute

from app.pipeline_service import PipelineService
from app.services import CompletionService, Hooks, ModelService, Services
from app.settings import Settings


def default_dependencies(pipelines: PipelineService, settings: Settings) -> dict[str, Provide]:
    """Return the providers by name; `app/extensions.py`, a router or a controller may replace any.

    A provider of another completion service can ask for `pipelines`, to answer with the models of the registry.
    """

    async def provide_model_service(
        completion_service: NamedDependency[SkipValidation[CompletionService]],
    ) -> ModelService:
        if hasattr(completion_service, "list_models"):  # a run-time check of the protocol takes 5 µs a request
            return cast("ModelService", completion_service)
        return pipelines

    async def provide_services(
        completion_service: NamedDependency[SkipValidation[CompletionService]],
        model_service: NamedDependency[SkipValidation[ModelService]],
        hooks: NamedDependency[SkipValidation[Hooks]],
    ) -> Services:
        return Services(completion_service, model_service, hooks)

    return {
        "pipelines": _constant(pipelines),
        "completion_service": _constant(pipelines),
        "model_service": Provide(provide_model_service),
        "hooks": _constant(Hooks()),
        "services": Provide(provide_services),
        "settings": _constant(settings),
    }


def _constant(value: object) -> Provide:
    async def provide() -> Any:
        return value

    return Provide(provide)


def resolve_in_turn(app: Litestar) -> None:
    """Let an application resolve the dependencies of a handler one after another.

    Litestar resolves independent ones in a task group, which costs a request 50 µs; providers seldom wait.
    """
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for _, parameters in route.route_handler_map.values():
                batches = parameters.dependency_batches
                parameters.dependency_batches = [{dependency} for batch in batches for dependency in batch]
