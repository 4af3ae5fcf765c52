"""Models that have to be made before they can answer: built, loaded, warmed up; and closed at the end."""

import asyncio
from collections.abc import Callable
from typing import Any

from app.engine.invoke import call, check_service, parameters_of
from app.engine.results import discard
from app.settings import Settings

__all__ = ["Maker", "has_to_be_made"]


class Maker:
    """Makes what answers for a model, once, however many ask for it at the same time.

    Args:
        source: a function of nothing or of `settings`, sync or async, that returns what answers; or that itself.
            If it has a method `start`, that is called before it answers; if it has `close`, at the end.
    """

    def __init__(self, source: Callable[..., Any]) -> None:
        self._source = source
        self._task: asyncio.Task[Callable[..., Any]] | None = None

    @property
    def at_work(self) -> bool:
        """Whether it is being made at this moment."""
        return self._task is not None and not self._task.done()

    async def get(self, settings: Settings) -> Callable[..., Any]:
        """What answers, when it is made; if that has failed before, it is tried again.

        Raises:
            TypeError: what was made takes other arguments than a model.
            Exception: whatever the making raised.
        """
        if self._task is None or _has_failed(self._task):
            self._task = asyncio.create_task(self._make(settings))
            self._task.add_done_callback(_has_failed)  # or asyncio would complain if all who asked have left
        return await asyncio.shield(self._task)

    async def close(self) -> None:
        """Make no more, and close what was made."""
        task, self._task = self._task, None
        if task is None:
            return
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not _has_failed(task):
            await discard(task.result())

    async def _make(self, settings: Settings) -> Callable[..., Any]:
        made: Any = self._source
        if _is_factory(made):
            made = await call(made, *(settings for _ in parameters_of(made)))
            check_service(made)
        if hasattr(made, "start"):
            try:
                await call(made.start)
            except BaseException:
                if made is not self._source:  # it is made anew next time
                    await discard(made)
                raise
        function: Callable[..., Any] = made
        return function


def has_to_be_made(function: Callable[..., Any]) -> bool:
    """Whether something must happen before a function can answer."""
    return _is_factory(function) or hasattr(function, "start")


def _is_factory(function: Callable[..., Any]) -> bool:
    return {*parameters_of(function)} <= {"settings"}


def _has_failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
