"""The registry of models: a function becomes a model, and the registry the service behind both endpoints."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from msgspec import UNSET, Struct

from app.completions.calls import Arguments, call_service, check_service
from app.completions.context import finish_without_client
from app.errors import ModelNotFoundError
from app.services import Body, Messages
from schemas.models import Model

__all__ = ["Pipelines", "RegisteredModel"]

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
F = TypeVar("F", bound=Callable[..., Any])


class RegisteredModel(Struct, frozen=True):
    """A model, the function behind it, and a prompt that it can answer."""

    model: Model
    function: Callable[..., Any]
    prompt: str
    outlives_client: bool


class Pipelines:
    """Models by name. It is a `CompletionService` and a `ModelService`."""

    def __init__(self) -> None:
        self._models: dict[str, RegisteredModel] = {}

    @property
    def models(self) -> Mapping[str, RegisteredModel]:
        """All registered models by name, in the order in which they were registered."""
        return MappingProxyType(self._models)

    def model(
        self,
        name: str,
        *,
        owned_by: str | None = None,
        created: int | None = None,
        prompt: str = "Hello!",
        outlives_client: bool = False,
    ) -> Callable[[F], F]:
        """Register the decorated function as a model; see `add`."""

        def register(function: F) -> F:
            self.add(name, function, owned_by=owned_by, created=created, prompt=prompt, outlives_client=outlives_client)
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
    ) -> None:
        """Register a function of `(model, messages, body)`, sync or async, generator or not, as a model.

        Args:
            name: what clients call it; may contain slashes.
            function: answers the messages, see `app.services.CompletionService.complete`.
            owned_by: who owns it; the setting `OWNED_BY` unless given.
            created: when it was made, in Unix seconds; the start of the server unless given.
            prompt: a question it can answer, which the conformance tests ask it.
            outlives_client: whether a completion runs to its end though its client has left.

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
        check_service(function)
        model = Model(
            id=name,
            owned_by=UNSET if owned_by is None else owned_by,
            created=UNSET if created is None else created,
        )
        self._models[name] = RegisteredModel(model, function, prompt, outlives_client)

    async def complete(
        self, model: str, messages: Messages, body: Body, headers: Mapping[str, str] = NO_HEADERS
    ) -> Any:
        """Call the model's function.

        Raises:
            ModelNotFoundError: it is not registered.
        """
        registered = self._models.get(model)
        if registered is None:
            raise ModelNotFoundError(model, known=self._models)
        if registered.outlives_client:
            finish_without_client()
        return await call_service(registered.function, Arguments(model, messages, body, headers))

    async def list_models(self) -> Sequence[Model]:
        """All registered models."""
        return [registered.model for registered in self._models.values()]


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"
