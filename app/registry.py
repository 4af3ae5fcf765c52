"""The registry of models: functions that `app/pipelines.py` declares, and how each is served."""

import inspect
import typing  # pack: embeddings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from textwrap import shorten
from types import MappingProxyType
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack

from msgspec import UNSET, Struct

from app.engine.invoke import (
    check_embedder,  # pack: embeddings
    check_service,
    place_of,
)
from app.model import ModelFunction
from app.settings import Settings
from schemas.models import Model

__all__ = ["Pipelines", "RegisteredModel"]

CHAT = "chat"
CHECKS = {
    CHAT: check_service,
    "embeddings": check_embedder,  # pack: embeddings
}
When: TypeAlias = Callable[[Settings], object]
Factory: TypeAlias = Callable[..., ModelFunction | Awaitable[ModelFunction]]
Resource: TypeAlias = Callable[..., AsyncIterator[Any]]
MAX_DESCRIPTION = 300  # characters of a docstring
M = TypeVar("M", bound=ModelFunction)
F = TypeVar("F", bound=Factory)
E = TypeVar("E", bound=Callable[typing.Concatenate[list[Any], ...], Any])  # pack: embeddings
T = TypeVar("T", bound=Callable[..., Any])


class Options(TypedDict, total=False):
    """The options of a registered model; `Pipelines.add` documents them."""

    owned_by: str | None
    created: int | None
    description: str | None
    prompt: str
    conformance: bool
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
    description: str | None = None
    prompt: str = "Hello!"
    conformance: bool = True
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
            description=(_summary(self.function) if self.description is None else self.description) or UNSET,
            type=UNSET if self.kind == CHAT else self.kind,  # pack: embeddings
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
        value by naming a parameter like the function. The generator takes any of `settings` and earlier resources.
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
                `app/pipelines.py` was changed; `description`, what the list of models says of it, by default the first
                paragraph of the docstring of the function, factory or class; `prompt`, a question that the conformance
                tests ask; `conformance`, False to leave the model out of these tests; `outlives_client`, to run to the
                end although the client has left; `preload`, True to make the model before the server is ready, False to
                make it at its first request; `handles_n`, to get the parameter `n` of a request instead of being asked
                once for each choice; `when`, a function of the settings that decides whether the model is served.

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


def _summary(function: Callable[..., Any]) -> str:
    """Return the first paragraph of the docstring of a function, or of the class of a callable object."""
    while isinstance(function, partial):
        function = function.func
    doc = inspect.cleandoc(getattr(function, "__doc__", None) or "")
    kind = function if isinstance(function, type) else type(function)
    is_generated = doc.startswith(f"{kind.__name__}(")  # by `dataclass`, with the defaults
    return "" if is_generated else shorten(doc.split("\n\n")[0], MAX_DESCRIPTION, placeholder=" …")
