"""The models that a service lists, by name or in full."""

from collections.abc import Sequence
from time import time

from msgspec import UNSET
from msgspec.structs import replace

from app.engine.invoke import call
from app.services import ModelService
from schemas.models import Model

__all__ = ["full_models", "model_names"]

STARTED = int(time())  # when a model was made, if its service does not say: it must not change between calls


async def full_models(service: ModelService, *, owned_by: str) -> list[Model]:
    """The models of a service, with what it left unset filled in."""
    return [_filled_in(model, owned_by) for model in await _listed(service)]


async def model_names(service: ModelService) -> list[str]:
    """The names of a service's models."""
    return [model if isinstance(model, str) else model.id for model in await _listed(service)]


async def _listed(service: ModelService) -> Sequence[str | Model]:
    listed: Sequence[str | Model] = await call(service.list_models)
    return listed


def _filled_in(model: str | Model, owned_by: str) -> Model:
    model = Model(id=model) if isinstance(model, str) else model
    return replace(
        model,
        created=STARTED if model.created is UNSET else model.created,
        owned_by=owned_by if model.owned_by is UNSET else model.owned_by,
    )
