"""What the controller's dependencies are, unless a cloner replaces them.

Each provider asks for the one before it, although two of them do not use it: Litestar resolves
independent dependencies in a task group, which costs a request 85 µs more than a chain does.
"""

from typing import cast

from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from app.pipelines import pipelines
from app.services import CompletionService, Hooks, ModelService
from app.settings import Settings

__all__ = ["DEPENDENCIES"]


async def provide_completion_service() -> CompletionService:
    """The models of `app/pipelines.py`."""
    return pipelines


async def provide_model_service(
    completion_service: NamedDependency[SkipValidation[CompletionService]],
) -> ModelService:
    """The completion service itself if it lists models, else those of `app/pipelines.py`."""
    if hasattr(completion_service, "list_models"):  # a run-time check of the protocol takes 5 µs a request
        return cast("ModelService", completion_service)
    return pipelines


async def provide_hooks(model_service: NamedDependency[SkipValidation[ModelService]]) -> Hooks:
    """No hooks."""
    return NO_HOOKS


async def provide_settings(model_service: NamedDependency[SkipValidation[ModelService]], state: State) -> Settings:
    """The settings of this application."""
    settings: Settings = state.settings
    return settings


NO_HOOKS = Hooks()
DEPENDENCIES = {
    "completion_service": Provide(provide_completion_service),
    "model_service": Provide(provide_model_service),
    "hooks": Provide(provide_hooks),
    "settings": Provide(provide_settings),
}
