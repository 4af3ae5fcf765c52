"""This project's server, with the models of the benchmark."""

import json
import os

from litestar.di import Provide

from app.app import create_app
from app.registry import Pipelines
from app.services import CompletionService
from app.settings import Settings
from tests.benchmarks.models import MODELS

__all__ = ["app"]

pipelines = Pipelines()
for name, model in MODELS.items():
    pipelines.add(name, model.function)


async def provide_completion_service() -> CompletionService:
    """The models of the benchmark."""
    return pipelines


settings = Settings.load(json.loads(os.environ["SETTINGS"]))  # and none of the environment's own
app = create_app(settings=settings, dependencies={"completion_service": Provide(provide_completion_service)})
