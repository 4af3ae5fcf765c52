"""This project's server, with the models of the benchmark; `WAY=providers` replaces both services."""

import json
import os
from typing import Any

from litestar.di import Provide

from app.app import create_app
from app.registry import Pipelines
from app.services import Body, Messages
from app.settings import Settings
from tests.benchmarks.models import EMBEDDINGS, MODELS

__all__ = ["app"]

pipelines = Pipelines()
for name, model in MODELS.items():
    if model.path == EMBEDDINGS:
        pipelines.embedder(name, batch=model.batch)(model.function)
    else:
        pipelines.add(name, model.function)

settings = Settings.load(json.loads(os.environ["SETTINGS"]))  # and none of the environment's own


class Completions:
    """A completion service as a user would write it."""

    async def complete(self, model: str, messages: Messages, body: Body) -> Any:
        """Answer by an async model of the benchmark."""
        return await MODELS[model].function(model, messages, body)


class Models:
    """A model service as a user would write it."""

    async def list_models(self) -> list[str]:
        """Return the models of the benchmark."""
        return list(MODELS)


async def provide_completions() -> Completions:
    """Make the completion service for a request."""
    return Completions()


async def provide_models() -> Models:
    """Make the model service for a request."""
    return Models()


providers = {"completion_service": Provide(provide_completions), "model_service": Provide(provide_models)}
app = create_app(
    settings=settings, pipelines=pipelines, dependencies=providers if os.environ["WAY"] == "providers" else {}
)
