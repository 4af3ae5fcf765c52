"""Starts completions: the way of a request from its body to its service."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from time import perf_counter

from msgspec import Struct

from app.engine.buffer import Buffer
from app.engine.completion import Completion
from app.engine.invoke import Arguments, call, call_service
from app.engine.items import Item, Reader, text_of
from app.engine.models import model_names
from app.engine.observers import Observer, Record
from app.engine.renderer import ChatForm, MakeForm
from app.engine.request import check_count, validate
from app.engine.results import discard, pour
from app.engine.run import Run, current_run
from app.engine.threads import Workers
from app.errors import ModelNotFoundError, OverloadedError
from app.services import Body, CompletionService, Hooks, ModelService, PostHook, PreHook
from schemas.chat import ChatCompletionRequest

__all__ = ["Engine", "Limits", "Services"]

SHUTTING_DOWN = "The server is shutting down. Try again in a moment."
BUFFER_LIMIT = 128  # items of a stream that may wait for its client


class Limits(Struct, frozen=True, kw_only=True):
    """What the engine keeps to; times in seconds, and 0 for none."""

    concurrent: int
    sync_workers: int
    timeout: float
    keep_alive: float
    finish_without_client: bool
    messages: int = 0


class Services(Struct, frozen=True):
    """What a request is answered with."""

    completions: CompletionService
    models: ModelService
    hooks: Hooks


class Engine:
    """Runs the completions of a server.

    Args:
        limits: how many at once, and for how long.
        reasoning_fields: the fields of a message that reasoning goes out in.
        observers: who is told of each completion.
    """

    def __init__(self, limits: Limits, reasoning_fields: tuple[str, ...], observers: Sequence[Observer] = ()) -> None:
        self.observers = list(observers)
        self.draining = False
        self._limits = limits
        self._reasoning_fields = reasoning_fields
        self._workers = Workers(limits.sync_workers)
        self._starting = 0
        self._running: set[Completion] = set()

    async def start(
        self,
        body: Body,
        services: Services,
        headers: Mapping[str, str],
        disconnected: Callable[[], Awaitable[None]],
        form: MakeForm = ChatForm,
    ) -> Completion:
        """Start the completion that a body asks for.

        Args:
            body: the parsed request.
            services: what answers it.
            headers: those of the request that a service may see.
            disconnected: waits until the client has left.
            form: makes the form in which it goes out.

        Raises:
            CompletionError: the request is wrong, the model unknown or the server full.
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
            request, body = await _prepared(body, services, self._limits)
            record = Record(
                model=request.model, stream=bool(request.stream), observers=tuple(self.observers), started_at=started_at
            )
            record.start()
            reader = Reader(services.hooks.chunk_mapper or text_of, self._reasoning_fields)
            completion = Completion(
                partial(_produce, services, Arguments(request.model, request.messages, body, headers)),
                buffer=Buffer(BUFFER_LIMIT, idle=self._limits.keep_alive if record.stream else 0),
                form=form(request, reader),
                run=run,
                record=record,
            )
        finally:
            self._starting -= 1
        if not completion.done:
            self._running.add(completion)
            completion.when_done(self._running.discard)
            completion.watch(disconnected)
            if self._limits.timeout:
                completion.limit(self._limits.timeout)
        return completion

    def drain(self, grace: float) -> None:
        """Start no more completions, and stop those that still run after some seconds; their clients are told."""
        if not self.draining:
            self.draining = True
            asyncio.get_running_loop().call_later(grace, self._stop)

    async def close(self) -> None:
        """Stop all completions, and wait until their services have cleaned up."""
        running = tuple(self._running)
        self._stop()
        await asyncio.gather(*(completion.close() for completion in running))

    def _stop(self) -> None:
        for completion in tuple(self._running):
            completion.cancel(OverloadedError(SHUTTING_DOWN))


async def _produce(services: Services, arguments: Arguments, buffer: Buffer[Item]) -> None:
    result = await call_service(services.completions.complete, arguments)
    if services.hooks.post_hook is not None:
        result = await _observed(result, services.hooks.post_hook)
    await pour(result, buffer)


async def _observed(result: object, post_hook: PostHook) -> object:
    """The result, or what the post-hook makes of it."""
    try:
        replaced = await call(post_hook, result)
    except BaseException:
        await discard(result)
        raise
    return result if replaced is None else replaced


async def _prepared(body: Body, services: Services, limits: Limits) -> tuple[ChatCompletionRequest, Body]:
    """The request as the pre-hook leaves it, for a model that is listed."""
    request = validate(body, ChatCompletionRequest)
    if limits.messages:
        check_count(request.messages, limits.messages)
    if services.hooks.pre_hook is not None:
        request = await _hooked(request, services.hooks.pre_hook)
        body = request.to_body()
    if request.model not in (names := await model_names(services.models)):
        raise ModelNotFoundError(request.model, known=names)
    return request, body


async def _hooked(request: ChatCompletionRequest, pre_hook: PreHook) -> ChatCompletionRequest:
    replaced: ChatCompletionRequest | None = await call(pre_hook, request)
    if replaced is None:
        return request
    for name, value in request.extra.items():
        replaced.extra.setdefault(name, value)  # which copying a Struct leaves behind
    return replaced
