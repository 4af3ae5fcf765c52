"""This project's server, with the models of the benchmark."""

import json
import os

from app.app import create_app
from app.registry import Pipelines
from app.settings import Settings
from tests.benchmarks.models import MODELS

__all__ = ["app"]

pipelines = Pipelines()
for name, model in MODELS.items():
    pipelines.add(name, model.function)

settings = Settings.load(json.loads(os.environ["SETTINGS"]))  # and none of the environment's own
app = create_app(settings=settings, pipelines=pipelines)
