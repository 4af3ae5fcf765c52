"""The default providers of the dependencies that the controllers name.

They form a chain: each asks for the one before it, although not all use it. Litestar resolves independent dependencies
in a task group, which costs a request 85 µs more than a chain does.
"""

from typing import cast

from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from app.registry import PipelineService
from app.services import CompletionService, Hooks, ModelService
from app.settings import Settings

NO_HOOKS = Hooks()


def default_dependencies(pipelines: PipelineService) -> dict[str, Provide]:
    """Return the providers by name; `create_app(dependencies=…)`, a router or a controller may replace any.

    Args:
        pipelines: The models of the application's registry. A provider of another completion service can ask for it by
            the name `pipelines`, to answer with it.
    """

    async def provide_pipelines() -> PipelineService:
        return pipelines

    async def provide_completion_service() -> CompletionService:
        return pipelines

    async def provide_model_service(
        completion_service: NamedDependency[SkipValidation[CompletionService]],
    ) -> ModelService:
        if hasattr(completion_service, "list_models"):  # a run-time check of the protocol takes 5 µs a request
            return cast("ModelService", completion_service)
        return pipelines

    async def provide_hooks(model_service: NamedDependency[SkipValidation[ModelService]]) -> Hooks:
        return NO_HOOKS

    async def provide_settings(hooks: NamedDependency[SkipValidation[Hooks]], state: State) -> Settings:
        settings: Settings = state.settings
        return settings

    return {
        "pipelines": Provide(provide_pipelines),
        "completion_service": Provide(provide_completion_service),
        "model_service": Provide(provide_model_service),
        "hooks": Provide(provide_hooks),
        "settings": Provide(provide_settings),
    }
