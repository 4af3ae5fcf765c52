"""One completion on its way from a service to a client."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

from app.engine.buffer import Buffer
from app.engine.frames import KEEP_ALIVE
from app.engine.items import Item
from app.engine.observers import Record
from app.engine.renderer import Form
from app.engine.run import Run
from app.errors import ClientDisconnectedError, CompletionError, CompletionTimeoutError, to_completion_error

__all__ = ["Completion"]

WATCH_AFTER = 0.05  # seconds: most completions are done by then, and need no task that watches their client
LEFT = ClientDisconnectedError()
CLOSING_TIME = 0.5  # seconds that a service gets to clean up before it is left behind


class Completion:
    """A service at work in a task of its own, and what it has made so far.

    Whoever takes what it makes, by `collect` or by `frames`, owns it: it stops when they leave.

    Args:
        produce: puts the service's items into the buffer.
        form: how it goes out.
        run: what the service may ask of the completion.
        record: what is told of it; says whether the client wants it piece by piece.
    """

    def __init__(
        self,
        produce: Callable[[Buffer[Item]], Awaitable[None]],
        *,
        buffer: Buffer[Item],
        form: Form,
        run: Run,
        record: Record,
    ) -> None:
        self.record = record
        self._buffer = buffer
        self._form = form
        self._run = run
        self._task = _start(self._produce(produce))
        self._watch: asyncio.Task[None] | None = None
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def stream(self) -> bool:
        """Whether the client wants it piece by piece."""
        return self.record.stream

    @property
    def done(self) -> bool:
        """Whether the service has ended; what it made may still wait to be taken."""
        return self._task.done()

    async def collect(self) -> Any:
        """The whole completion in its form, when it is done.

        Raises:
            CompletionError: the service failed, was too slow, or its client has left.
        """
        ending: Exception | None = LEFT  # unless it comes to another
        try:
            while not self._buffer.exhausted:
                self._form.add(await self._buffer.take())
            if self._buffer.error is not None:
                raise to_completion_error(self._buffer.error)
            completion = await self._form.whole()
            ending = None
        except Exception as error:
            ending = error
            raise
        else:
            return completion
        finally:
            self._end(ending)
            await self.close()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The stream, as the bytes of one or more frames at a time.

        The first bytes come with the first item, so that an error before it can still be an HTTP
        error; an error after it is a frame.

        Raises:
            CompletionError: the service failed before its first item.
        """
        started = done = False
        ending: Exception | None = LEFT  # unless it comes to another
        try:
            while not done:
                items = await self._buffer.take()
                done = self._buffer.exhausted
                frames, error = await self._render(items, done=done)
                if frames:
                    started = True
                    yield frames
                if error is not None:
                    raise error
            ending = None
        except CompletionError as error:
            ending = error
            if not started:
                raise
            yield self._form.fail(error) + self._form.last
        finally:
            self._end(ending)
            await self.close()

    def watch(self, disconnected: Callable[[], Awaitable[None]]) -> None:
        """Stop as soon as the client leaves, unless the service wants to run to its end.

        Args:
            disconnected: waits until the client has left.
        """

        async def watch() -> None:
            await disconnected()
            if self._run.outlives_client:
                self.record.ended = "client_left"  # and all goes on, as a response may be kept
            else:
                self.cancel(ClientDisconnectedError())

        def start() -> None:
            self._watch = asyncio.create_task(watch())

        self._timers.append(asyncio.get_running_loop().call_later(WATCH_AFTER, start))

    def limit(self, seconds: float) -> None:
        """Stop with a timeout after this time."""
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(seconds, self.cancel, CompletionTimeoutError(seconds)))

    def cancel(self, error: CompletionError) -> None:
        """Stop the service. What it has made is still sent, and after it the error."""
        self._run.cancelled = True
        self._buffer.close(error)
        self._task.cancel()

    async def close(self) -> None:
        """Stop the service if it is at work, and wait until it has cleaned up."""
        for timer in self._timers:
            timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
        if not self.done:
            self.cancel(ClientDisconnectedError())
            await asyncio.wait([self._task], timeout=CLOSING_TIME)

    def when_done(self, callback: Callable[["Completion"], object]) -> None:
        """Call back when the service has ended, however it did."""
        self._task.add_done_callback(lambda _: callback(self))

    async def _produce(self, produce: Callable[[Buffer[Item]], Awaitable[None]]) -> None:
        try:
            await produce(self._buffer)
        except BaseException as error:  # even a service's SystemExit ends one completion, not the server
            self._buffer.close(error)
        else:
            self._buffer.close()

    def _end(self, error: Exception | None) -> None:
        """Record how it ended: by which error, if by any."""
        record, chunks = self.record, self._form.chunks
        record.id, record.response_model = chunks.head.id, chunks.head.model
        record.finish_reasons = chunks.finish_reasons
        record.add_usage(chunks.usage)
        record.end(error, stopped=self._run.cancelled)

    async def _render(self, items: Sequence[Item], *, done: bool) -> tuple[bytes, CompletionError | None]:
        """All frames of some items, or those before an error, and the error."""
        error: BaseException | None = self._buffer.error if done else None
        frames: list[bytes] = []
        try:
            self._form.write(items, frames)
            if done and error is None:
                await self._form.finish(frames)
        except Exception as mistake:  # in the user's chunk mapper, or in a dict that is no chunk
            error = mistake
        if frames:
            self.record.add(len(frames))
        if error is None and done:
            frames.append(self._form.last)
        elif error is None and not items:
            frames.append(KEEP_ALIVE)
        return b"".join(frames), None if error is None else to_completion_error(error)


def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task, where Python can in this very turn of the loop: one that need not wait is done by then."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=asyncio.get_running_loop(), eager_start=True)
    return asyncio.create_task(work)
