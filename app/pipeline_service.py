"""The service that answers with the models of a registry, in one application."""

import asyncio
import logging
import re
import threading
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from app.engine.invoke import arguments_of, call, call_service
from app.engine.results import discard
from app.engine.run import finish_without_client
from app.errors import InvalidRequestError, ModelNotFoundError
from app.model import Body, Headers, Messages
from app.registry import CHAT, CHECKS, Pipelines, RegisteredModel
from app.settings import Settings
from schemas.models import Model

__all__ = ["PipelineService"]

logger = logging.getLogger("app.registry")

MAX_TURN = 60.0  # seconds that a factory waits for others, one of which may never end
NO_HEADERS: Headers = MappingProxyType({})

PROJECT_FILE = Path(__file__).parents[1] / "pyproject.toml"

_turn = threading.Lock()


class PipelineService:
    """The completion service and model service of a registry, for one application.

    Args:
        pipelines: The registry.
        settings: Decide which models are served, and are passed to factories and resources.
    """

    def __init__(self, pipelines: Pipelines, settings: Settings) -> None:
        self._pipelines = pipelines
        self._settings = settings
        self.resources: dict[str, Any] = {"settings": settings}  # and those of the registry that are open, by name
        self._made: dict[str, asyncio.Task[Callable[..., Any]]] = {}

    @property
    def loading(self) -> bool:
        """Whether a preloaded model is still being made."""
        return any(not task.done() for name, task in self._made.items() if self._served[name].preload)

    @cached_property
    def _served(self) -> Mapping[str, RegisteredModel]:
        return {
            name: registered for name, registered in self._pipelines.models.items() if registered.when(self._settings)
        }

    @cached_property
    def _listed(self) -> Sequence[Model]:
        return [registered.model for registered in self._served.values()]

    async def complete(self, model: str, messages: Messages, body: Body, headers: Headers = NO_HEADERS) -> Any:
        """Call the function of the model, after making it if this is the first request for it.

        Raises:
            CompletionError: The model is not served, or not for chats.
        """
        function = await self.function_of(self.find(model, CHAT))
        return await call_service(function, model, messages, body, headers)

    def find(self, name: str, kind: str) -> RegisteredModel:
        """Return a model of a kind; raise a CompletionError if there is none."""
        registered = self._served.get(name)
        if registered is None:
            raise ModelNotFoundError(name)  # names none: the model service may hide some
        if registered.kind != kind:
            raise InvalidRequestError(f"The model '{name}' is for {registered.kind}, not for {kind}.", param="model")
        return registered

    async def function_of(self, registered: RegisteredModel) -> Callable[..., Any]:
        """Return the function of a model, after making it if this is the first request for it."""
        if registered.outlives_client:
            finish_without_client()
        return await self._make(registered) if registered.is_managed else registered.function

    def handles_n(self, model: str) -> bool:
        """Return whether a model makes all `n` choices of a request itself."""
        return model in self._served and self._served[model].handles_n

    async def list_models(self) -> Sequence[Model]:
        """Return the models that are served with these settings."""
        return self._listed

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the resources and preload models; at the end close the models, then the resources."""
        async with AsyncExitStack() as stack:
            for name, resource in self._pipelines.resources.items():
                opened = resource(*arguments_of(resource, self.resources))
                self.resources[name] = await anext(opened)
                stack.push_async_callback(anext, opened, None)
            preloading = [
                asyncio.create_task(self._preload(registered))
                for registered in self._served.values()
                if registered.is_preloaded
            ]
            stack.push_async_callback(self._close, preloading)
            yield

    async def _make(self, registered: RegisteredModel) -> Callable[..., Any]:
        """Return the function of a model, made once for all requests; after a failure the next request tries again."""
        task = self._made.get(registered.name)
        if task is None or _has_failed(task):
            task = self._made[registered.name] = asyncio.create_task(_make(registered, self.resources))
            task.add_done_callback(_has_failed)  # marks an exception as retrieved if all requests have left
        return await asyncio.shield(task)

    async def _preload(self, registered: RegisteredModel) -> None:
        try:
            await self._make(registered)
        except Exception as error:
            logger.error("The model %r could not be loaded: %r. Its first request tries again.", registered.name, error)

    async def _close(self, preloading: Sequence[asyncio.Task[None]]) -> None:
        made, self._made = self._made, {}
        for error in await asyncio.gather(*map(_close, made.values()), *preloading, return_exceptions=True):
            if isinstance(error, Exception):
                raise error


async def _make(registered: RegisteredModel, arguments: Mapping[str, Any]) -> Callable[..., Any]:
    made = function = registered.function
    try:
        if registered.is_factory:
            made = await call(_in_turn, function, *arguments_of(function, arguments))
            CHECKS[registered.kind](made)
        if hasattr(made, "start"):
            await call(made.start)
    except BaseException as error:
        if made is not function:  # the next request makes another one
            await discard(made)
        if isinstance(error, ModuleNotFoundError) and (extra := _extra_with(error.name or "")):
            hint = f"install the extra `{extra}`, e.g. by `uv run --extra {extra} litestar run`"
            raise ModuleNotFoundError(f"{error}: {hint}", name=error.name) from error
        raise
    return made


def _extra_with(module: str) -> str | None:
    """Return the extra of this project that has a package named like a module, as `openai-agents` is like `agents`."""
    text = PROJECT_FILE.read_text(encoding="utf-8") if PROJECT_FILE.is_file() else ""
    extras: dict[str, list[str]] = tomllib.loads(text).get("project", {}).get("optional-dependencies", {})
    wanted = f"-{module.partition('.')[0].replace('_', '-')}-"
    for extra, packages in extras.items():
        names = [re.split(r"[^\w.-]", package)[0] for package in packages]
        if any(wanted in f"-{name}-" for name in names):
            return extra
    return None


def _in_turn(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a factory while no other one runs in a thread: of two that import Haystack at once, one fails."""
    has_turn = _turn.acquire(timeout=MAX_TURN)
    try:
        return function(*arguments)
    finally:
        if has_turn:
            _turn.release()


async def _close(task: asyncio.Task[Callable[..., Any]]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
    if not _has_failed(task):
        await discard(task.result())


def _has_failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
