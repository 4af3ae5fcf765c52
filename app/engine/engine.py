"""The engine: starts completions from checked requests, and stops them when the server stops."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from time import perf_counter

from msgspec import UNSET, Struct
from msgspec.structs import replace

from app.engine.buffer import Buffer
from app.engine.chat import ChatRenderer
from app.engine.completion import Completion
from app.engine.invoke import Arguments, call, call_service
from app.engine.observers import Observer, Record
from app.engine.renderer import MakeRenderer
from app.engine.request import validate
from app.engine.results import Item, ItemReader, discard, put_items, text_of
from app.engine.run import Run, current_run
from app.engine.threads import Workers
from app.errors import InvalidRequestError, ModelNotFoundError, OverloadedError
from app.services import Body, CompletionService, Hooks, ModelService, PostHook
from schemas.chat import ChatCompletionRequest
from schemas.models import Model

SHUTTING_DOWN = "The server is shutting down. Try again in a moment."
BUFFER_LIMIT = 128  # items of a stream that may wait for its client


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


class Services(Struct, frozen=True):
    """The services and hooks that answer a request."""

    completions: CompletionService
    models: ModelService
    hooks: Hooks


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
        self._starting = 0
        self._running: set[Completion] = set()

    async def list_models(self, service: ModelService) -> list[Model]:
        """Return the models of a service, with unset fields filled in."""
        listed: Sequence[str | Model] = await call(service.list_models)
        return [self._filled_in(Model(id=model) if isinstance(model, str) else model) for model in listed]

    async def start(
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
            CompletionError: The request is wrong, the model unknown or the server full.
        """
        started_at = perf_counter()
        if self.draining:
            raise OverloadedError(SHUTTING_DOWN)
        if self._starting + len(self._running) >= self._limits.concurrent:
            raise OverloadedError
        self._starting += 1
        try:
            run = Run(self._workers, outlives_client=self._limits.finish_without_client)
            current_run.set(run)
            request, body = await _prepare(body, services, self._limits)
            stream = bool(request.stream)
            record = Record(model=request.model, stream=stream, observers=self.observers, started_at=started_at)
            record.start()
            reader = ItemReader(services.hooks.chunk_mapper or text_of, self._reasoning_fields)
            completion = Completion(
                partial(_produce, services, Arguments(request.model, request.messages, body, headers)),
                buffer=Buffer(BUFFER_LIMIT, idle=self._limits.keep_alive if stream else 0),
                renderer=renderer(request, reader),
                run=run,
                record=record,
            )
        finally:
            self._starting -= 1
        if not completion.done:
            self._running.add(completion)
            completion.when_done(self._running.discard)
            completion.watch(disconnected, timeout=self._limits.timeout)
        return completion

    def drain(self, grace: float) -> None:
        """Refuse new completions; stop the running ones after `grace` seconds, with an error to their clients."""
        if not self.draining:
            self.draining = True
            asyncio.get_running_loop().call_later(grace, self._stop)

    async def close(self) -> None:
        """Stop all completions, and wait until their services have cleaned up."""
        running = tuple(self._running)
        self._stop()
        await asyncio.gather(*(completion.close() for completion in running))

    def _filled_in(self, model: Model) -> Model:
        created = self._defaults.created if model.created is UNSET else model.created
        owned_by = self._defaults.owned_by if model.owned_by is UNSET else model.owned_by
        return replace(model, created=created, owned_by=owned_by)

    def _stop(self) -> None:
        for completion in tuple(self._running):
            completion.cancel(OverloadedError(SHUTTING_DOWN))


async def _prepare(body: Body, services: Services, limits: Limits) -> tuple[ChatCompletionRequest, Body]:
    """Check a request, call the pre-hook, and check that the model is listed."""
    request = validate(body, ChatCompletionRequest)
    if 0 < limits.messages < (count := len(request.messages)):
        message = f"There are {count} messages: at most {limits.messages} are taken."
        raise InvalidRequestError(message, param="messages")
    if services.hooks.pre_hook is not None:
        replaced: ChatCompletionRequest | None = await call(services.hooks.pre_hook, request)
        if replaced is not None:
            replaced.extra.update(request.extra | replaced.extra)  # copying a Struct leaves them out
            request = replaced
        body = request.to_body()
    listed: Sequence[str | Model] = await call(services.models.list_models)
    names = [model if isinstance(model, str) else model.id for model in listed]
    if request.model not in names:
        raise ModelNotFoundError(request.model, known=names)
    return request, body


async def _produce(services: Services, arguments: Arguments, buffer: Buffer[Item]) -> None:
    result = await call_service(services.completions.complete, arguments)
    if services.hooks.post_hook is not None:
        result = await _call_post_hook(services.hooks.post_hook, result)
    await put_items(result, buffer)


async def _call_post_hook(post_hook: PostHook, result: object) -> object:
    try:
        replaced = await call(post_hook, result)
    except BaseException:
        await discard(result)
        raise
    return result if replaced is None else replaced
