"""Threads for sync code, so that it never runs on the event loop.

They are daemons: a blocked service does not keep the process alive, as it would in a thread of asyncio or anyio.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeAlias, TypeVar

from app.errors import log_late

IDLE_SECONDS = 2.0  # a thread that waits longer for a job ends

Job: TypeAlias = Callable[[], object]  # must not raise
P = ParamSpec("P")
T = TypeVar("T")


class Workers(ThreadPoolExecutor):
    """A pool of at most `limit` threads, started when needed; further jobs wait until one is free.

    `run` costs 36 µs, anyio's threads 65. `submit` is for `asyncio.to_thread`, which accepts no executor of another
    base, whose own threads would keep the process alive.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._limit = limit
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._lock = threading.Lock()  # guards the counts
        self._running = 0  # threads
        self._free = 0  # threads without a job
        self._waiting = 0  # jobs without a thread

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread, in the caller's context, and return its result.

        Cancelling the call does not stop the thread, which stays busy until the function returns.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        context = copy_context()
        work = partial(context.run, function, *args, **kwargs)

        def job() -> None:
            result, error = None, None
            try:
                if not outcome.cancelled():  # while it waited
                    result = work()
            except BaseException as raised:
                error = raised
            with suppress(RuntimeError):  # the loop is closed, so nothing waits for the result
                loop.call_soon_threadsafe(_settle, outcome, result, error, context=context)
            del error  # a cycle with its traceback

        self._add(job)
        try:
            return await outcome
        except asyncio.CancelledError:
            if not outcome.cancelled() and outcome.exception() is None:
                _close(outcome.result())  # it arrived in the same turn of the loop as the cancellation
            raise

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in a thread, as soon as one is free."""
        future: Future[T] = Future()

        def job() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*args, **kwargs))
                except BaseException as error:
                    future.set_exception(_for_coroutine(error))

        self._add(job)
        return future

    def _add(self, job: Job) -> None:
        self._jobs.put(job)
        with self._lock:
            has_free, may_start = self._free > 0, self._running < self._limit
            self._free -= has_free
            self._running += not has_free and may_start
            self._waiting += not has_free and not may_start
        if not has_free and may_start:
            threading.Thread(target=self._work, name="worker", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._free:  # otherwise a job was just added for this thread
                        self._free -= 1
                        self._running -= 1
                        return
            else:
                job()
                del job  # so that nothing of it is kept alive while the thread is free
                with self._lock:
                    has_waiting = self._waiting > 0
                    self._waiting -= has_waiting
                    self._free += not has_waiting


def _settle(outcome: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if outcome.done():  # the call was cancelled
        _close(result)
        log_late(error)
    elif error is None:
        outcome.set_result(result)
    else:
        outcome.set_exception(_for_coroutine(error))


def _for_coroutine(error: BaseException) -> BaseException:
    """Return the exception, or another for one that has a meaning of its own in a coroutine."""
    if isinstance(error, StopIteration | GeneratorExit):
        return RuntimeError(f"A sync function raised {error!r}.")
    return error


def _close(result: object) -> None:
    """Close a result whose caller has been cancelled."""
    if callable(close := getattr(result, "close", None)):
        close()
