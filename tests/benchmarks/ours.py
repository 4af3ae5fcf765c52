"""This project's server, with the models of the benchmark."""

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


settings = Settings.load({"SYNC_WORKERS": os.environ.get("SYNC_WORKERS")})  # nothing else: the defaults are measured
app = create_app(settings=settings, dependencies={"completion_service": Provide(provide_completion_service)})
