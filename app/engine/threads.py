"""Threads for sync code, so that it never runs on the event loop.

Unlike those of anyio and asyncio they are daemons, so that a blocked service does not keep the process alive, and a
call costs 36 µs instead of 65.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from app.errors import OverloadedError

IDLE_SECONDS = 2.0  # a thread that waits longer for a job ends

Job = Callable[[], None]
P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """A pool of at most `limit` threads, started when needed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._idle: deque[_Worker] = deque()
        self.busy = 0

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` in a thread, in the caller's context, and return its result.

        Cancelling the call does not stop the thread, which stays counted until the function returns.

        Raises:
            OverloadedError: All threads are busy.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        job = partial(copy_context().run, function, *args, **kwargs)
        self.start(job, loop, partial(_resolve, outcome), partial(_reject, outcome))
        try:
            return await outcome
        except asyncio.CancelledError:
            if not outcome.cancelled() and outcome.exception() is None:
                _close(outcome.result())  # it arrived in the same turn of the loop as the cancellation
            raise

    def start(
        self,
        function: Callable[[], T],
        loop: asyncio.AbstractEventLoop,
        resolve: Callable[[T], None],
        reject: Callable[[BaseException], None],
    ) -> None:
        """Call `function` in a thread, and then `resolve` or `reject` on the loop, with its result or exception.

        Raises:
            OverloadedError: All threads are busy.
        """
        if self.busy >= self._limit:
            raise OverloadedError
        self.busy += 1

        def job() -> None:
            try:
                settle = partial(resolve, function())
            except BaseException as error:
                settle = partial(reject, error)
            with suppress(RuntimeError):  # the loop is closed, so nothing waits for the result
                loop.call_soon_threadsafe(self._end, settle)

        try:
            self._idle.pop().take(job)
        except IndexError:
            _Worker(job, self._idle).start()

    def _end(self, settle: Job) -> None:
        self.busy -= 1
        settle()


class Executor(ThreadPoolExecutor):
    """An executor for `asyncio.to_thread`, with which libraries call sync code, on these threads.

    Asyncio's own has only a few threads a core, and keeps the process alive while one works.
    """

    def __init__(self, workers: Workers) -> None:
        super().__init__(max_workers=1)  # never started
        self._loop = asyncio.get_running_loop()
        self._workers = workers

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `function` in a thread.

        Raises:
            OverloadedError: All threads are busy.
        """
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self._workers.start(partial(function, *args, **kwargs), self._loop, future.set_result, future.set_exception)
        return future


class _Worker(threading.Thread):
    """A thread that runs one job after another; idle ones wait in a stack, so that those longest idle end first."""

    def __init__(self, job: Job, idle: "deque[_Worker]") -> None:
        super().__init__(name="completion-worker", daemon=True)
        self._job = job
        self._idle = idle
        self._called = threading.Lock()
        self._called.acquire()

    def take(self, job: Job) -> None:
        self._job = job
        self._called.release()

    def run(self) -> None:
        while True:
            self._job()
            self._job = _rest
            self._idle.append(self)
            if not self._called.acquire(timeout=IDLE_SECONDS):
                try:
                    self._idle.remove(self)
                except ValueError:  # just taken from the stack: its job is coming
                    self._called.acquire()
                else:
                    return


def _rest() -> None:
    """Replace the last job while idle, so that nothing of it is kept alive."""


def _resolve(outcome: asyncio.Future[Any], result: object) -> None:
    if not outcome.done():
        outcome.set_result(result)
    else:
        _close(result)


def _close(result: object) -> None:
    """Close a result whose caller has been cancelled."""
    if callable(close := getattr(result, "close", None)):
        close()


def _reject(outcome: asyncio.Future[Any], error: BaseException) -> None:
    if outcome.done():
        return
    if isinstance(error, StopIteration | GeneratorExit):  # they have another meaning in a coroutine
        error = RuntimeError(f"A sync function raised {error!r}.")
    outcome.set_exception(error)
