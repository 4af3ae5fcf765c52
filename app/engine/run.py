"""The run of a completion, as the code that produces it sees it: it travels as a context variable."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from app.engine.threads import Workers

__all__ = ["finish_without_client", "is_cancelled", "run_sync"]

P = ParamSpec("P")
T = TypeVar("T")


class Run:
    """The state that a completion shares with the code that produces it."""

    def __init__(self, workers: Workers, *, outlives_client: bool) -> None:
        self.workers = workers
        self.cancelled = False
        self.outlives_client = outlives_client


current_run: ContextVar[Run] = ContextVar("current_run")


def is_cancelled() -> bool:
    """Return whether the completion has been stopped.

    Async code is cancelled and sync generators are closed by the server. Blocking code that yields nothing for long
    should ask, and return if it has been stopped.
    """
    run = current_run.get(None)
    return run is not None and run.cancelled


def finish_without_client() -> None:
    """Let this completion run to its end even if its client leaves."""
    if (run := current_run.get(None)) is not None:
        run.outlives_client = True


def start_task(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T] | Generator[Any, None, T], **options: Any
) -> asyncio.Task[T]:
    """Start a task; this is the task factory of the event loop.

    SystemExit and KeyboardInterrupt, raised in a task that the user's code has started, would stop the server. uvicorn
    starts the task of a request from outside of any task, and that costs no more than before.
    """
    if asyncio.current_task(loop) is None:
        return asyncio.Task(work, loop=loop, **options)
    task = asyncio.Task(_contained(work), loop=loop, **options)
    task.add_done_callback(lambda _: work.close())  # if it was cancelled before it began
    return task


async def _contained(work: Any) -> Any:
    task = asyncio.current_task()
    try:
        return await work
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        if asyncio.current_task() is not task:  # it is closed
            raise
        raise RuntimeError(f"A task raised {error!r}.") from error


async def run_sync(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call blocking code in a thread of the engine's pool, as soon as one is free."""
    run = current_run.get(None)
    if run is None:
        return await asyncio.to_thread(function, *args, **kwargs)
    return await run.workers.run(function, *args, **kwargs)
