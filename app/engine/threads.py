"""Threads for sync code, so that it never runs on the event loop.

They are daemons: a blocked service does not keep the process alive, as it would in a thread of asyncio or anyio.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeAlias, TypeVar

from app.errors import OverloadedError

IDLE_SECONDS = 2.0  # a thread that waits longer for a job ends

Settle: TypeAlias = Callable[[Any, BaseException | None], None]
P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """A pool of at most `limit` threads, started when needed. A call costs 36 µs, and one of anyio's 65."""

    def __init__(self, limit: int) -> None:
        self.busy = 0
        self._limit = limit
        self._idle: deque[_Worker] = deque()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread, in the caller's context, and return its result.

        Cancelling the call does not stop the thread, which stays counted until the function returns.

        Raises:
            OverloadedError: All threads are busy.
        """
        if self.busy >= self._limit:
            raise OverloadedError
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            loop.call_soon_threadsafe(self._settle, outcome, result, error)

        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker(self._idle)
            worker.start()
        self.busy += 1
        worker.jobs.put((partial(copy_context().run, function, *args, **kwargs), settle))
        try:
            return await outcome
        except asyncio.CancelledError:
            if not outcome.cancelled() and outcome.exception() is None:
                _close(outcome.result())  # it arrived in the same turn of the loop as the cancellation
            raise

    def _settle(self, outcome: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
        self.busy -= 1
        if outcome.done():  # the call was cancelled
            _close(result)
        elif error is None:
            outcome.set_result(result)
        elif isinstance(error, StopIteration | GeneratorExit):  # they have another meaning in a coroutine
            outcome.set_exception(RuntimeError(f"A sync function raised {error!r}."))
        else:
            outcome.set_exception(error)


class _Worker(threading.Thread):
    """A thread that runs one job after another; idle ones wait in a stack, so that those longest idle end first."""

    def __init__(self, idle: "deque[_Worker]") -> None:
        super().__init__(name="completion-worker", daemon=True)
        self.jobs: SimpleQueue[tuple[Callable[[], Any], Settle]] = SimpleQueue()
        self._idle = idle

    def run(self) -> None:
        while True:
            try:
                job = self.jobs.get(timeout=IDLE_SECONDS)
            except Empty:
                with suppress(ValueError):  # it was just taken from the stack: its job is coming
                    self._idle.remove(self)
                    return
            else:
                self._do(*job)
                del job  # so that nothing of it is kept alive while idle

    def _do(self, function: Callable[[], Any], settle: Settle) -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as raised:
            error = raised
        self._idle.append(self)  # first, as the next job may follow at once
        with suppress(RuntimeError):  # the loop is closed, so nothing waits for the result
            settle(result, error)
        del error  # a cycle with its traceback


class Executor(ThreadPoolExecutor):
    """An executor for `asyncio.to_thread`, with which libraries call sync code: jobs wait while all threads are busy.

    Asyncio accepts no other class than its base, whose threads would keep the process alive.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self._unstarted = threading.Semaphore(limit)  # threads that may still be started
        self._idle = threading.Semaphore(0)  # threads without a job

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in a thread, as soon as one is free."""
        future: Future[T] = Future()
        self._jobs.put((partial(function, *args, **kwargs), future))
        if not self._idle.acquire(blocking=False) and self._unstarted.acquire(blocking=False):
            threading.Thread(target=self._run, name="executor", daemon=True).start()
        return future

    def _run(self) -> None:
        while True:
            function, future = self._jobs.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:
                    future.set_exception(error)
            del function, future  # so that nothing of them is kept alive while idle
            self._idle.release()


def _close(result: object) -> None:
    """Close a result whose caller has been cancelled."""
    if callable(close := getattr(result, "close", None)):
        close()
