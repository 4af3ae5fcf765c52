"""fastapi-openai-compat, with the models of the benchmark.

Each is called the fastest way it offers, or with `WAY=readme` the way its README shows: by sync functions.
"""

import inspect
import os
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi_openai_compat import create_openai_router

from tests.benchmarks.models import MODELS

__all__ = ["app"]


async def run_completion(model: str, messages: Any, body: Any) -> Any:
    """Call a model: in a thread only if it blocks, which is what the router does with a sync function."""
    function = MODELS[model].function
    if inspect.iscoroutinefunction(function):
        return await function(model, messages, body)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return function(model, messages, body)
    return await run_in_threadpool(function, model, messages, body)


async def list_models() -> list[str]:
    """The models of the benchmark."""
    return list(MODELS)


def run_sync_completion(model: str, messages: Any, body: Any) -> Any:
    """Call a sync model."""
    return MODELS[model].function(model, messages, body)


def list_models_sync() -> list[str]:
    """The models of the benchmark."""
    return list(MODELS)


app = FastAPI()
if os.environ["WAY"] == "readme":
    router = create_openai_router(list_models=list_models_sync, run_completion=run_sync_completion)
else:
    router = create_openai_router(list_models=list_models, run_completion=run_completion)
app.include_router(router)
