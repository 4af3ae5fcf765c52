"""fastapi-openai-compat, with the models of the benchmark, each called the fastest way it offers."""

import inspect
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


app = FastAPI()
app.include_router(create_openai_router(list_models=list_models, run_completion=run_completion))
