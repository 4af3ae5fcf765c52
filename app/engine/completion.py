"""A running completion: its service runs in a task and fills a buffer, from which the answer is rendered."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

from app.engine.buffer import Buffer
from app.engine.frames import KEEP_ALIVE
from app.engine.observers import Record
from app.engine.renderer import Renderer
from app.engine.results import Item
from app.engine.run import Run
from app.errors import ClientDisconnectedError, CompletionError, CompletionTimeoutError, to_completion_error

WATCH_AFTER = 0.05  # seconds; most completions end sooner, and need no task that watches their client
CLOSING_TIME = 0.5  # seconds to wait for a stopped service to clean up
CLIENT_LEFT = ClientDisconnectedError()


class Completion:
    """A completion whose service runs until its result has been consumed by `collect` or `frames`, or is cancelled."""

    def __init__(
        self,
        produce: Callable[[Buffer[Item]], Awaitable[None]],
        *,
        buffer: Buffer[Item],
        renderer: Renderer,
        run: Run,
        record: Record,
    ) -> None:
        self.record = record
        self._buffer = buffer
        self._renderer = renderer
        self._run = run
        self._task = _start(self._produce(produce))
        self._watcher: asyncio.Task[None] | None = None
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def done(self) -> bool:
        """Whether the service has ended; some of its items may still be in the buffer."""
        return self._task.done()

    async def collect(self) -> Any:
        """Return the whole answer as the renderer's JSON object.

        Raises:
            CompletionError: The service failed, was too slow, or its client has left.
        """
        ending: Exception | None = CLIENT_LEFT  # unless it ends in another way
        try:
            while not self._buffer.exhausted:
                self._renderer.add(await self._buffer.take())
            if self._buffer.error is not None:
                raise to_completion_error(self._buffer.error)
            whole = await self._renderer.whole()
            ending = None
        except Exception as error:
            ending = error
            raise
        else:
            return whole
        finally:
            self._end(ending)
            await self.close()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield the stream as bytes, one or more frames at a time.

        The first bytes come with the first item, so that an error before it can still be an HTTP error; an error after
        it is a frame.

        Raises:
            CompletionError: The service failed before its first item.
        """
        started = done = False
        ending: CompletionError | None = CLIENT_LEFT  # unless it ends in another way
        try:
            while not done:
                items = await self._buffer.take()
                done = self._buffer.exhausted
                frames: list[bytes] = []
                try:
                    await self._render(items, frames, done=done)
                except Exception as error:
                    ending, done = to_completion_error(error), True
                    if not started and not frames:
                        raise ending from None
                    frames += [self._renderer.fail(ending), self._renderer.last]
                if frames:
                    started = True
                    yield b"".join(frames)
            ending = None if ending is CLIENT_LEFT else ending
        finally:
            self._end(ending)
            await self.close()

    def watch(self, disconnected: Callable[[], Awaitable[None]], *, timeout: float = 0) -> None:
        """Stop when the client leaves, unless the service is to run to its end, and after a timeout.

        Args:
            disconnected: Returns when the client has left.
            timeout: In seconds; 0 is none.
        """

        async def watch() -> None:
            await disconnected()
            if self._run.outlives_client:
                self.record.ended = "client_left"  # the rest still runs, as a response may be kept
            else:
                self.cancel(ClientDisconnectedError())

        def start() -> None:
            self._watcher = asyncio.create_task(watch())

        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(WATCH_AFTER, start))
        if timeout:
            self._timers.append(loop.call_later(timeout, self.cancel, CompletionTimeoutError(timeout)))

    def cancel(self, error: CompletionError) -> None:
        """Stop the service. The items in the buffer are still sent, and then the error."""
        if self._run.cancelled:
            return  # a second cancellation would interrupt the clean-up
        self._run.cancelled = True
        self._buffer.close(error)
        self._task.cancel()

    async def close(self) -> None:
        """Stop the service if it still runs, and wait until it has cleaned up."""
        for timer in self._timers:
            timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if not self.done:
            self.cancel(ClientDisconnectedError())
            await asyncio.wait([self._task], timeout=CLOSING_TIME)

    def when_done(self, callback: Callable[["Completion"], object]) -> None:
        """Call back when the service has ended, for any reason."""
        self._task.add_done_callback(lambda _: callback(self))

    async def _produce(self, produce: Callable[[Buffer[Item]], Awaitable[None]]) -> None:
        try:
            await produce(self._buffer)
        except BaseException as error:  # even a service's SystemExit ends one completion, not the server
            self._buffer.close(error)
        else:
            self._buffer.close()

    async def _render(self, items: Sequence[Item], frames: list[bytes], *, done: bool) -> None:
        """Append the frames of some items, and those that end the stream; raise the error that ends it instead."""
        try:
            self._renderer.write(items, frames)
            if self._buffer.error is not None and done:
                raise to_completion_error(self._buffer.error)
            if done:
                await self._renderer.finish(frames)
        finally:
            if frames:
                self.record.add(len(frames))
        if done:
            frames.append(self._renderer.last)
        elif not items:
            frames.append(KEEP_ALIVE)

    def _end(self, error: Exception | None) -> None:
        record, chunks = self.record, self._renderer.chunks
        record.id, record.response_model = chunks.head.id, chunks.head.model
        record.finish_reasons = chunks.finish_reasons
        record.add_usage(chunks.usage)
        record.end(error, stopped=self._run.cancelled)


def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task, eagerly where Python can: work that need not wait is then done at once."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=asyncio.get_running_loop(), eager_start=True)
    return asyncio.create_task(work)
