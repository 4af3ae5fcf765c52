"""The life of a completion: its services run in a task and fill a buffer, from which the answer is rendered."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from app.engine.buffer import Buffer
from app.engine.chat import MakeRenderer
from app.engine.frames import KEEP_ALIVE
from app.engine.invoke import call, call_service
from app.engine.items import Item, ItemReader
from app.engine.observers import Record
from app.engine.parts import ChoiceDelta
from app.engine.results import discard, put_items, put_parts
from app.engine.run import Run, current_run
from app.errors import ClientDisconnectedError, CompletionError, CompletionTimeoutError, to_completion_error
from app.services import Body, ModelService, Services
from schemas.chat import ChatCompletionRequest

logger = logging.getLogger("app.completions")

CLOSING_TIME = 0.5  # seconds to wait for a stopped service to clean up
WATCH_AFTER = 0.05  # seconds; most completions end sooner, and need no task that watches their client
STILL_RUNS = (
    "The model %r has not stopped %s s after it was cancelled. It keeps its place among MAX_CONCURRENT_COMPLETIONS "
    "until it does: let its code pass on CancelledError, or clean up faster."
)
UNSENDABLE = "What the model answered cannot be sent"
CLIENT_LEFT = ClientDisconnectedError()


class Completion:
    """One completion: from its checked request until its answer has been consumed, by `collect` or `next_frames`.

    Its task calls everything of the user's: the hooks, the list of models, the service, and the iteration of what that
    returns. `close` must be called at the end.

    Args:
        request: The checked request.
        body: The same as the client sent it.
        services: The services and hooks that answer it.
        headers: Those of the request that a service may see.
        check_model: Raises unless a model service lists the model.
        disconnected: Returns when the client has left.
        renderer: Makes the renderer, also of a request that a hook has changed.
        reader: Reads the items.
        run: What is shared with the user's code.
        record: The figures.
        keep_alive: Seconds without an item after which a stream sends a comment; 0 is never.
    """

    def __init__(
        self,
        request: ChatCompletionRequest,
        body: Body,
        services: Services,
        headers: Mapping[str, str],
        *,
        check_model: Callable[[ModelService, str], Awaitable[None]],
        disconnected: Callable[[], Awaitable[None]],
        renderer: MakeRenderer,
        reader: ItemReader,
        run: Run,
        record: Record,
        keep_alive: float,
    ) -> None:
        self.record = record
        self._request = request
        self._body = body
        self._headers = headers
        self._services = services
        self._check_model = check_model
        self._disconnected = disconnected
        self._make_renderer = renderer
        self._reader = reader
        self._renderer = renderer(request, reader)
        self._run = run
        self._keep_alive = keep_alive
        self._buffer = Buffer(unbounded=not record.stream)
        self._hooked = asyncio.Event()  # set when it is known whether the answer is a stream
        self._started_at = self._buffer.taken_at
        self._ending: Exception | None = CLIENT_LEFT  # unless it ends in another way
        self._has_begun = self._has_ended = False  # to send
        self._watcher: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None]
        self._on_end: Callable[[Completion], object]

    def start(self, on_end: Callable[["Completion"], object]) -> None:
        """Start the work, and call back when it has ended; some items may still be in the buffer then."""
        self._on_end = on_end
        self._task = _start(self._produce())

    def begin(self) -> None:
        """Answer as a stream that has begun: an error is a frame from now on."""
        self._has_begun = True
        self._hooked.set()

    async def streams(self) -> bool:
        """Return whether the answer is a stream, when the pre-hook has had its say."""
        await self._hooked.wait()
        return self.record.stream

    async def collect(self) -> Any:
        """Return the whole answer as the renderer's JSON object, or raise the error by which the completion ended."""
        try:
            items = await self._buffer.take()
            if self._buffer.error is not None:
                raise to_completion_error(self._buffer.error, model=self.record.model)
            whole = await self._renderer.whole(items)
        except Exception as raised:
            error = self._ending = to_completion_error(raised, model=self.record.model, fact=UNSENDABLE)
            raise error from None
        self._ending = None
        return whole

    async def next_frames(self) -> bytes | None:
        """Return the next bytes of the stream, one or more frames, or None at its end.

        An error before the first item is raised, as a CompletionError, so that it can be an HTTP error.
        """
        while not self._has_ended:
            items = await self._buffer.take()
            frames: list[bytes] = []
            try:
                await self._render(items, frames)
            except Exception as raised:
                error = self._ending = to_completion_error(raised, model=self.record.model, fact=UNSENDABLE)
                self._has_ended = True
                if not self._has_begun and not frames:
                    raise error from None
                frames += [await self._renderer.fail(error), self._renderer.last]
            if frames:
                self._has_begun = True
                return b"".join(frames)
        return None

    def cancel(self, error: CompletionError) -> None:
        """Stop the service. The items in the buffer are still sent, and then the error."""
        if self._run.cancelled:
            return  # a second cancellation would interrupt the clean-up
        self._run.cancelled = True
        self._hooked.set()
        self._buffer.close(error)
        self._task.add_done_callback(lambda _: self._on_end(self))  # if cancelled before its first step, it does not
        self._task.cancel()

    async def stop(self) -> None:
        """Stop the service if it still runs, and wait until it has cleaned up."""
        if not self._task.done():
            self.cancel(CLIENT_LEFT)
            await asyncio.wait([self._task], timeout=CLOSING_TIME)

    async def close(self, error: CompletionError | None = None) -> None:
        """Stop the service, and end the record, by the error for which the answer is refused if there is one."""
        if self._watcher is not None:
            self._watcher.cancel()
        await self.stop()
        answer, record = self._renderer.answer, self.record
        record.id, record.response_model, record.finish_reasons = answer.id or None, answer.model, answer.finish_reasons
        if (usage := answer.reported_usage) is not None:
            record.add_usage(usage)
        if not self._task.done():
            logger.warning(STILL_RUNS, record.model or answer.model, CLOSING_TIME)
        record.end(error or self._ending, stopped=self._run.cancelled)

    def check(self, now: float, timeout: float) -> None:
        """Do what is due: stop after the timeout (0 is none), watch the client, send a comment."""
        age = now - self._started_at
        if timeout and age >= timeout:
            self.cancel(CompletionTimeoutError(timeout))
        elif self._watcher is None and age >= WATCH_AFTER:
            self._watcher = asyncio.create_task(self._watch())
        if self._keep_alive and self.record.stream and now - self._buffer.taken_at >= self._keep_alive:
            self._hooked.set()
            self._buffer.wake()

    async def _watch(self) -> None:
        await self._disconnected()
        if self._run.outlives_client:
            self.record.ended = "client_left"  # the rest still runs, as a response may be kept
        else:
            self.cancel(CLIENT_LEFT)

    async def _produce(self) -> None:
        request, body = self._request, self._body
        try:
            current_run.set(self._run)
            if (pre_hook := self._services.hooks.pre_hook) is not None:
                request = await call(pre_hook, request) or request
                body = request.to_body()
                self._use(request)
            self._hooked.set()
            await self._check_model(self._services.models, request.model)
            self.record.start(request.model)
            count, service = body.get("n") or 1, self._services.completions
            if count > 1 and not getattr(service, "handles_n", lambda _: False)(request.model):
                body = {name: value for name, value in body.items() if name != "n"}
                await asyncio.gather(*(self._ask_for(index, request, body) for index in range(count)))
            else:
                await self._ask(request, body)
        except BaseException as error:  # even a service's SystemExit ends one completion, not the server
            self._buffer.close(error)
        else:
            self._buffer.close()
        finally:
            self._hooked.set()
            self._on_end(self)

    def _use(self, request: ChatCompletionRequest) -> None:
        """Answer the request as a pre-hook left it; a stream whose head has been sent stays one."""
        self._renderer = self._make_renderer(request, self._reader)
        if not self._hooked.is_set():
            self.record.stream = bool(request.stream)
            self._buffer.unbounded = not request.stream

    async def _ask_for(self, index: int, request: ChatCompletionRequest, body: Body) -> None:
        """Ask the service for one of several choices; if that fails, the completion ends."""
        try:
            await self._ask(request, body, index)
            self._buffer.put_anyway(ChoiceDelta(index))  # so that there is a choice even if it has no item
        except BaseException as error:
            self._buffer.close(error)

    async def _ask(self, request: ChatCompletionRequest, body: Body, choice: int | None = None) -> None:
        complete = self._services.completions.complete
        result = await call_service(complete, request.model, request.messages, body, self._headers)
        if (post_hook := self._services.hooks.post_hook) is not None:
            try:
                replaced = await call(post_hook, result)
            except BaseException:
                await discard(result)
                raise
            result = result if replaced is None else replaced
        if choice is None and not self._reader.is_async:
            await put_items(result, self._buffer)
        else:
            await put_parts(result, self._buffer, self._reader, choice)

    async def _render(self, items: list[Item], frames: list[bytes]) -> None:
        """Append the frames of some items, and those that end the stream; raise the error that ends it instead."""
        ends = self._buffer.exhausted
        try:
            self._renderer.write(items, frames)
            if ends and self._buffer.error is not None:
                raise to_completion_error(self._buffer.error, model=self.record.model)
            if ends:
                await self._renderer.finish(frames)
        finally:
            if frames:
                self.record.add(len(frames))
        if ends:
            self._has_ended, self._ending = True, None
            frames.append(self._renderer.last)
        elif not items:
            frames.append(KEEP_ALIVE)


def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task, eagerly where Python can: work that need not wait is then done at once."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=asyncio.get_running_loop(), eager_start=True)
    return asyncio.Task(work, loop=asyncio.get_running_loop())
