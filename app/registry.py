"""The registry of models, and the service that answers with them in one application."""

import asyncio
import logging
import threading
import typing  # pack: embeddings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack

from msgspec import UNSET, Struct

from app.engine.invoke import (
    Arguments,
    arguments_of,
    call,
    call_service,
    check_embedder,  # pack: embeddings
    check_service,
    place_of,
)
from app.engine.results import discard
from app.engine.run import finish_without_client
from app.errors import InvalidRequestError, ModelNotFoundError
from app.model import Body, Headers, Messages, ModelFunction
from app.settings import Settings
from schemas.models import Model

__all__ = ["PipelineService", "Pipelines", "RegisteredModel"]

logger = logging.getLogger("app.registry")

CHAT = "chat"
CHECKS = {
    CHAT: check_service,
    "embeddings": check_embedder,  # pack: embeddings
}
MAX_TURN = 60.0  # seconds that a factory waits for others, one of which may never end
NO_HEADERS: Headers = MappingProxyType({})
When: TypeAlias = Callable[[Settings], object]
Factory: TypeAlias = Callable[..., ModelFunction | Awaitable[ModelFunction]]
Resource: TypeAlias = Callable[..., AsyncIterator[Any]]
M = TypeVar("M", bound=ModelFunction)
F = TypeVar("F", bound=Factory)
E = TypeVar("E", bound=Callable[typing.Concatenate[list[Any], ...], Any])  # pack: embeddings
T = TypeVar("T", bound=Callable[..., Any])

_turn = threading.Lock()


class Options(TypedDict, total=False):
    """The options of a registered model; `Pipelines.add` documents them."""

    owned_by: str | None
    created: int | None
    prompt: str
    outlives_client: bool
    preload: bool | None
    handles_n: bool
    when: When
    batch: int  # pack: embeddings
    wait: float  # pack: embeddings
    takes_tokens: bool  # pack: embeddings


class RegisteredModel(Struct, frozen=True, kw_only=True):
    """A model by name, the function behind it or the factory of that function, and its options."""

    name: str
    function: Callable[..., Any]
    is_factory: bool
    owned_by: str | None = None
    created: int | None = None
    prompt: str = "Hello!"
    outlives_client: bool = False
    preload: bool | None = None
    handles_n: bool = False
    when: When = lambda _: True
    kind: str = CHAT
    batch: int = 0  # pack: embeddings
    wait: float = 0  # pack: embeddings
    takes_tokens: bool = False  # pack: embeddings

    @property
    def model(self) -> Model:
        """The model as it is listed; what it leaves unset is filled in by the engine."""
        return Model(
            id=self.name,
            owned_by=UNSET if self.owned_by is None else self.owned_by,
            created=UNSET if self.created is None else self.created,
        )

    @property
    def is_managed(self) -> bool:
        """Whether the model has to be made or started before it answers."""
        return self.is_factory or hasattr(self.function, "start")

    @property
    def is_preloaded(self) -> bool:
        """Whether the model is made while the application starts."""
        return self.is_managed and (self.is_factory if self.preload is None else self.preload)


class Pipelines:
    """A registry of models by name, filled when `app/pipelines.py` is imported.

    It only holds declarations: `PipelineService` makes and calls the models, for each application separately.
    """

    def __init__(self) -> None:
        self._models: dict[str, RegisteredModel] = {}
        self._resources: dict[str, Resource] = {}

    @property
    def models(self) -> Mapping[str, RegisteredModel]:
        """The registered models by name, in the order of their registration."""
        return MappingProxyType(self._models)

    @property
    def resources(self) -> Mapping[str, Resource]:
        """The registered resources by name."""
        return MappingProxyType(self._resources)

    def model(self, name: str, **options: Unpack[Options]) -> Callable[[M], M]:
        """Register the decorated function as a model; see `add`."""
        return self._registers(name, is_factory=False, **options)

    def factory(self, name: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """Register the decorated function as the factory of a model; see `add` for the options.

        A factory returns what `add` takes. Each application calls it once, in a thread unless it is async: while the
        application starts and answers for other models, or at the first request if `preload` is False. It takes any of
        `settings` and the names of resources as parameters. If what it returns has the methods `start` or `close`, they
        are called before the first answer and at the end.
        """
        return self._registers(name, is_factory=True, **options)

    # pack: embeddings
    def embedder(self, name: str, **options: Unpack[Options]) -> Callable[[E], E]:
        """Register the decorated function of a list of texts as an embedder; `docs/embeddings.md` says more."""
        return self._registers(name, is_factory=False, kind="embeddings", **options)

    # pack: embeddings
    def embedder_factory(self, name: str, **options: Unpack[Options]) -> Callable[[T], T]:
        """Register the decorated function as the factory of an embedder; see `factory`."""
        return self._registers(name, is_factory=True, kind="embeddings", **options)

    def resource(self, function: Resource) -> Resource:
        """Register the decorated async generator as a resource that models share, under the name of the function.

        Each application runs the code before `yield` at its start and the code after it at its end; factories get the
        value by naming a parameter like the function. The generator takes nothing or `settings`.
        """
        name = function.__name__
        if name == "settings" or name in self._resources:
            raise ValueError(f"A resource cannot be called {name!r}: that name is taken.")
        self._resources[name] = function
        return function

    def add(self, name: str, function: ModelFunction, **options: Unpack[Options]) -> None:
        """Register a function of `(model, messages, body)` as a model: sync or async, generator or not.

        Args:
            name: The id by which clients ask for the model; may contain slashes.
            function: Answers the messages, see `app.services.CompletionService.complete`. A callable object may have
                the methods `start` and `close`, as with `factory`.
            **options: `owned_by` and `created` (Unix seconds), by default the setting `OWNED_BY` and the time at which
                `app/pipelines.py` was changed; `prompt`, a question that the conformance tests ask;
                `outlives_client`, to run to the end although the client has left; `preload`, True to make the model
                before the server is ready, False to make it at its first request; `handles_n`, to get the parameter `n`
                of a request instead of being asked once for each choice; `when`, a function of the settings that
                decides whether the model is served.

        Raises:
            ValueError: The name is empty or taken.
            TypeError: The function takes other arguments.
        """
        self._register(RegisteredModel(name=name, function=function, is_factory=False, **options))

    def include(self, other: "Pipelines") -> None:
        """Register all models and resources of another registry here too."""
        for registered in other.models.values():
            self._register(registered)
        for resource in other.resources.values():
            self.resource(resource)

    def _registers(self, name: str, **options: Any) -> Callable[[T], T]:
        def register(function: T) -> T:
            self._register(RegisteredModel(name=name, function=function, **options))
            return function

        return register

    def _register(self, new: RegisteredModel) -> None:
        if not new.is_factory:
            CHECKS[new.kind](new.function)
        if not new.name:
            raise ValueError("A model needs a name.")
        if (old := self._models.get(new.name)) is not None:
            raise ValueError(
                f"Two models are called {new.name!r}: {place_of(old.function)} and {place_of(new.function)}."
            )
        self._models[new.name] = new


class PipelineService:
    """The completion service and model service of a registry, for one application.

    Args:
        pipelines: The registry.
        settings: Decide which models are served, and are passed to factories and resources.
    """

    def __init__(self, pipelines: Pipelines, settings: Settings) -> None:
        self._pipelines = pipelines
        self._settings = settings
        self._arguments: dict[str, Any] = {"settings": settings}  # of factories, by parameter name
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
        return await call_service(function, Arguments(model, messages, body, headers))

    def find(self, name: str, kind: str) -> RegisteredModel:
        """Return a model of a kind; raise a CompletionError if there is none."""
        registered = self._served.get(name)
        if registered is None:
            raise ModelNotFoundError(name, known=self._served)
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
                opened = resource(*arguments_of(resource, {"settings": self._settings}))
                self._arguments[name] = await anext(opened)
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
            task = self._made[registered.name] = asyncio.create_task(_make(registered, self._arguments))
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
    except BaseException:
        if made is not function:  # the next request makes another one
            await discard(made)
        raise
    return made


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
