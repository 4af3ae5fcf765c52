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


class EngineOptions(Struct, frozen=True, kw_only=True):
    """The options of an engine; times in seconds, 0 is no limit."""

    concurrent: int
    sync_workers: int
    timeout: float
    keep_alive: float
    finish_without_client: bool
    messages: int
    reasoning_fields: tuple[str, ...]  # of a message
    owned_by: str  # of a listed model that leaves it unset
    created: int  # of the same, in Unix seconds


class Engine:
    """Runs the completions of an application, and notifies the `observers`, to which plugins may append."""

    def __init__(self, options: EngineOptions, observers: Sequence[Observer]) -> None:
        self.observers = list(observers)
        self.draining = False
        self._options = options
        self._workers = Workers(options.sync_workers)
        self._running: set[Completion] = set()
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
        options = self._options
        if 0 < options.messages < (count := len(request.messages)):
            message = f"There are {count} messages: at most {options.messages} are taken."
            raise InvalidRequestError(message, param="messages")
        completion = Completion(
            request,
            body,
            services,
            headers,
            check_model=self._check_model,
            disconnected=disconnected,
            renderer=renderer,
            reader=ItemReader(services.hooks.chunk_mapper, options.reasoning_fields),
            run=Run(self._workers, outlives_client=options.finish_without_client),
            record=Record(operation=services.operation, stream=bool(request.stream), observers=self.observers),
            keep_alive=options.keep_alive,
        )
        self._running.add(completion)
        completion.start(self._running.discard)
        if self._clock is None:
            self._clock = asyncio.get_running_loop().call_later(CLOCK, self._check)
        return completion

    async def check(self, services: Services, model: str) -> None:
        """Raise what can be known before a long request is read: the server is full, or no model has this name."""
        self._check_room()
        if services.hooks.pre_hook is None:  # it may ask another model
            try:
                async with asyncio.timeout(self._options.timeout or None) as deadline:
                    await self._check_model(services.models, model)
            except TimeoutError:
                if deadline.expired():
                    raise CompletionTimeoutError(self._options.timeout) from None
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
        if len(self._running) >= self._options.concurrent:
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
        for completion in tuple(self._running):
            completion.check(now, self._options.timeout)
        self._clock = asyncio.get_running_loop().call_later(CLOCK, self._check) if self._running else None

    def _filled_in(self, model: Model) -> Model:
        created = self._options.created if model.created is UNSET else model.created
        owned_by = self._options.owned_by if model.owned_by is UNSET else model.owned_by
        return replace(model, created=created, owned_by=owned_by)

    def _stop(self) -> None:
        for completion in tuple(self._running):
            completion.cancel(OverloadedError(SHUTTING_DOWN))
