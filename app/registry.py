"""The registry of models: a function becomes a model, and the registry the service behind both endpoints."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack

from msgspec import UNSET, Struct

from app.engine.invoke import Arguments, call_service, check_service
from app.engine.run import finish_without_client
from app.errors import ModelNotFoundError
from app.makers import Maker, has_to_be_made
from app.services import Body, Messages
from app.settings import Settings
from schemas.models import Model

__all__ = ["Pipelines", "RegisteredModel"]

logger = logging.getLogger("app.registry")

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
F = TypeVar("F", bound=Callable[..., Any])
When: TypeAlias = Callable[[Settings], object]


def always(settings: Settings) -> bool:
    """Offer a model whatever the settings are."""
    return True


class Options(TypedDict, total=False):
    """How a model is registered; see `Pipelines.add`."""

    owned_by: str | None
    created: int | None
    prompt: str
    outlives_client: bool
    preload: bool
    when: When


class RegisteredModel(Struct, frozen=True):
    """A model, what is behind it, and a prompt that it can answer."""

    model: Model
    function: Callable[..., Any]
    prompt: str
    outlives_client: bool
    maker: Maker | None
    preload: bool
    when: When


class Pipelines:
    """Models by name. It is a `CompletionService` and a `ModelService`."""

    def __init__(self) -> None:
        self._models: dict[str, RegisteredModel] = {}
        self._settings = Settings()

    @property
    def models(self) -> Mapping[str, RegisteredModel]:
        """All registered models by name, in the order in which they were registered."""
        return MappingProxyType(self._models)

    @property
    def loading(self) -> bool:
        """Whether a model that is to be there from the start is not there yet."""
        return any(maker.at_work for _, maker in self._preloaded())

    def model(self, name: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """Register the decorated function as a model; see `add`."""

        def register(function: F) -> F:
            self.add(name, function, **options)
            return function

        return register

    def add(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        owned_by: str | None = None,
        created: int | None = None,
        prompt: str = "Hello!",
        outlives_client: bool = False,
        preload: bool = False,
        when: When = always,
    ) -> None:
        """Register a function of `(model, messages, body)`, sync or async, generator or not, as a model.

        A function that takes nothing, or `settings` alone, makes the model instead: it is called at the first
        request, once, in a thread unless it is async, and returns what answers. If that has a method `start`,
        it is called before the first answer; if it has `close`, at the end.

        Args:
            name: what clients call it; may contain slashes.
            function: answers the messages, see `app.services.CompletionService.complete`.
            owned_by: who owns it; the setting `OWNED_BY` unless given.
            created: when it was made, in Unix seconds; the start of the server unless given.
            prompt: a question it can answer, which the conformance tests ask it.
            outlives_client: whether a completion runs to its end though its client has left.
            preload: whether it is made when the server starts, while others answer already.
            when: whether it is offered, by the settings.

        Raises:
            ValueError: the name is empty, or taken.
            TypeError: the function takes other arguments.
        """
        if not name:
            raise ValueError("A model needs a name.")
        if name in self._models:
            raise ValueError(
                f"Two models are called {name!r}: {_place(self._models[name].function)} and {_place(function)}."
            )
        maker = Maker(function) if has_to_be_made(function) else None
        if maker is None:
            check_service(function)
        model = Model(
            id=name,
            owned_by=UNSET if owned_by is None else owned_by,
            created=UNSET if created is None else created,
        )
        self._models[name] = RegisteredModel(model, function, prompt, outlives_client, maker, preload, when)

    async def complete(
        self, model: str, messages: Messages, body: Body, headers: Mapping[str, str] = NO_HEADERS
    ) -> Any:
        """Call the model's function.

        Raises:
            ModelNotFoundError: it is not registered.
        """
        registered = self._models.get(model)
        if registered is None or not registered.when(self._settings):
            raise ModelNotFoundError(model, known=[listed.id for listed in await self.list_models()])
        if registered.outlives_client:
            finish_without_client()
        function = registered.function if registered.maker is None else await registered.maker.get(self._settings)
        return await call_service(function, Arguments(model, messages, body, headers))

    async def list_models(self) -> Sequence[Model]:
        """All registered models that the settings allow for."""
        return [registered.model for registered in self._models.values() if registered.when(self._settings)]

    @asynccontextmanager
    async def serving(self, settings: Settings) -> AsyncIterator[None]:
        """What surrounds a server: models are made by these settings, and closed at the end."""
        self._settings = settings
        preloading = [asyncio.create_task(self._preload(name, maker)) for name, maker in self._preloaded()]
        try:
            yield
        finally:
            makers = [registered.maker for registered in self._models.values() if registered.maker is not None]
            await asyncio.gather(*(maker.close() for maker in makers))
            await asyncio.gather(*preloading)

    def _preloaded(self) -> list[tuple[str, Maker]]:
        return [
            (name, registered.maker)
            for name, registered in self._models.items()
            if registered.preload and registered.maker is not None and registered.when(self._settings)
        ]

    async def _preload(self, name: str, maker: Maker) -> None:
        try:
            await maker.get(self._settings)
        except asyncio.CancelledError:  # the server stops
            return
        except Exception:
            logger.exception("The model %r could not be loaded; its first request tries again", name)


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"
