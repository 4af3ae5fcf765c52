"""The engine of an application: starts completions within its limits, watches them, and stops them at the end."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import UNSET, Struct
from msgspec.structs import replace

from app.engine.chat import ChatRenderer, MakeRenderer
from app.engine.completion import Completion
from app.engine.invoke import call
from app.engine.items import ItemReader
from app.engine.observers import Observer, Record
from app.engine.request import validate
from app.engine.run import Run
from app.engine.threads import Workers
from app.errors import CompletionTimeoutError, InvalidRequestError, ModelNotFoundError, OverloadedError
from app.services import Body, ModelService, Services
from schemas.chat import ChatCompletionRequest
from schemas.models import Model

SHUTTING_DOWN = "The server is shutting down. Try again in a moment."
CLOCK = 0.05  # seconds between two looks at the running completions
TRUSTED = 1.0  # seconds in which a name that a model service has listed is not listed again


class Limits(Struct, frozen=True, kw_only=True):
    """The limits of completions; times in seconds, 0 is no limit."""

    concurrent: int
    sync_workers: int
    timeout: float
    keep_alive: float
    finish_without_client: bool
    messages: int = 0


class ModelDefaults(Struct, frozen=True):
    """Fields of listed models that leave them unset; `created` in Unix seconds."""

    owned_by: str
    created: int


class Engine:
    """Runs the completions of an application.

    Args:
        limits: The limits of completions.
        reasoning_fields: The fields of a message in which reasoning is sent.
        defaults: Fields of listed models that leave them unset.
        observers: Objects that are notified of each completion; plugins may append to `Engine.observers`.
    """

    def __init__(
        self,
        limits: Limits,
        reasoning_fields: tuple[str, ...],
        *,
        defaults: ModelDefaults,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.observers = list(observers)
        self.draining = False
        self._limits = limits
        self._reasoning_fields = reasoning_fields
        self._defaults = defaults
        self._workers = Workers(limits.sync_workers)
        self._running: dict[Completion, Callable[[], Awaitable[None]]] = {}  # and the wait for its client to leave
        self._clock: asyncio.TimerHandle | None = None
        self._listed: tuple[ModelService | None, float, frozenset[str]] = (None, 0, frozenset())

    async def list_models(self, service: ModelService) -> list[Model]:
        """Return the models of a service, with unset fields filled in."""
        listed: Sequence[str | Model] = await call(service.list_models)
        return [self._filled_in(Model(id=model) if isinstance(model, str) else model) for model in listed]

    def start(
        self,
        body: Body,
        services: Services,
        headers: Mapping[str, str],
        disconnected: Callable[[], Awaitable[None]],
        renderer: MakeRenderer = ChatRenderer,
    ) -> Completion:
        """Start the completion that a request asks for.

        Args:
            body: The parsed request.
            services: The services and hooks that answer it.
            headers: Those of the request that a service may see.
            disconnected: Returns when the client has left.
            renderer: Makes the renderer of the answer.

        Raises:
            CompletionError: The request is wrong, or the server full.
        """
        self._check_room()
        request = validate(body, ChatCompletionRequest)
        if 0 < self._limits.messages < (count := len(request.messages)):
            message = f"There are {count} messages: at most {self._limits.messages} are taken."
            raise InvalidRequestError(message, param="messages")
        reader = ItemReader(services.hooks.chunk_mapper, self._reasoning_fields)
        completion = Completion(
            request,
            body,
            services,
            headers,
            check_model=self._check_model,
            renderer=renderer,
            reader=reader,
            run=Run(self._workers, outlives_client=self._limits.finish_without_client),
            record=Record(operation=services.operation, stream=bool(request.stream), observers=self.observers),
            keep_alive=self._limits.keep_alive,
        )
        self._running[completion] = disconnected
        completion.start(self._ended)
        if self._clock is None:
            self._clock = asyncio.get_running_loop().call_later(CLOCK, self._check)
        return completion

    async def check(self, services: Services, model: str) -> None:
        """Raise what can be known before a long request is read: the server is full, or no model has this name."""
        self._check_room()
        if services.hooks.pre_hook is None:  # it may ask another model
            try:
                async with asyncio.timeout(self._limits.timeout or None) as deadline:
                    await self._check_model(services.models, model)
            except TimeoutError:
                if deadline.expired():
                    raise CompletionTimeoutError(self._limits.timeout) from None
                raise

    def drain(self, grace: float) -> None:
        """Refuse new completions; stop the running ones after `grace` seconds, with an error to their clients."""
        if not self.draining:
            self.draining = True
            asyncio.get_running_loop().call_later(grace, self._stop)

    async def close(self) -> None:
        """Stop all completions, and wait until their services have cleaned up."""
        running = tuple(self._running)
        self._stop()
        await asyncio.gather(*(completion.stop() for completion in running))

    def _check_room(self) -> None:
        if self.draining:
            raise OverloadedError(SHUTTING_DOWN)
        if len(self._running) >= self._limits.concurrent:
            raise OverloadedError

    async def _check_model(self, service: ModelService, name: str) -> None:
        """Raise ModelNotFoundError unless the service lists the model, or has just listed it."""
        now = asyncio.get_running_loop().time()
        trusted, until, names = self._listed
        if trusted is service and now < until and name in names:
            return
        names = frozenset(model.id for model in await self.list_models(service))
        self._listed = (service, now + TRUSTED, names)
        if name not in names:
            raise ModelNotFoundError(name, known=names)

    def _check(self) -> None:
        now = asyncio.get_running_loop().time()
        for completion, disconnected in tuple(self._running.items()):
            completion.check(now, disconnected, self._limits.timeout)
        self._clock = asyncio.get_running_loop().call_later(CLOCK, self._check) if self._running else None

    def _ended(self, completion: Completion) -> None:
        self._running.pop(completion, None)

    def _filled_in(self, model: Model) -> Model:
        created = self._defaults.created if model.created is UNSET else model.created
        owned_by = self._defaults.owned_by if model.owned_by is UNSET else model.owned_by
        return replace(model, created=created, owned_by=owned_by)

    def _stop(self) -> None:
        for completion in tuple(self._running):
            completion.cancel(OverloadedError(SHUTTING_DOWN))
