"""Models that fail: at once, before the first item or in the middle of a stream."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from litestar.exceptions import HTTPException

from app.errors import CompletionError
from app.registry import Pipelines
from app.services import Body, Messages

__all__ = ["SECRET", "add_failing_models"]

SECRET = "postgres://admin:hunter2@db.internal"  # noqa: S105 - which no client may ever read


def add_failing_models(pipelines: Pipelines) -> None:
    """Register the models of this file."""
    pipelines.add("refuse", refuse)
    pipelines.add("refuse-before", refuse_before)
    pipelines.add("refuse-after", refuse_after)
    pipelines.add("crash", crash)
    pipelines.add("crash-before", crash_before)
    pipelines.add("crash-after", crash_after)
    pipelines.add("crash-after-sync", crash_after_sync)
    pipelines.add("crash-sync", crash_sync)
    pipelines.add("crash-before-async", crash_before_async)
    pipelines.add("crash-at", crash_at)
    pipelines.add("crash-at-async", crash_at_async)
    pipelines.add("crash-at-the-end", crash_at_the_end)
    pipelines.add("teapot", teapot)
    pipelines.add("wrong-type", wrong_type)


def wanted_error(messages: Messages) -> CompletionError:
    """The error whose fields the prompt lists as JSON."""
    fields: dict[str, Any] = json.loads(str(messages[-1].get("content")))
    return CompletionError(**fields)


def refuse(model: str, messages: Messages, body: Body) -> str:
    raise wanted_error(messages)


async def refuse_before(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    if messages:
        raise wanted_error(messages)
    yield "never"


def refuse_after(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield "one"
    yield " two"
    raise wanted_error(messages)


async def crash(model: str, messages: Messages, body: Body) -> str:
    raise RuntimeError(f"Cannot connect to {SECRET}") from OSError(SECRET)


def crash_before(model: str, messages: Messages, body: Body) -> Iterator[str]:
    if messages:
        raise RuntimeError(SECRET)
    yield "never"


async def crash_after(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    yield "one"
    yield " two"
    raise ValueError(SECRET)


def crash_after_sync(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield "one"
    yield " two"
    raise ValueError(SECRET)


def crash_sync(model: str, messages: Messages, body: Body) -> str:
    raise RuntimeError(f"Cannot connect to {SECRET}") from OSError(SECRET)


async def crash_before_async(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    if messages:
        raise RuntimeError(SECRET)
    yield "never"


class Unreadable:
    """An item that fails when the server reads it."""

    @property
    def content(self) -> str:
        raise RuntimeError(SECRET)


def crash_at(model: str, messages: Messages, body: Body) -> Iterator[Unreadable]:
    yield Unreadable()


async def crash_at_async(model: str, messages: Messages, body: Body) -> AsyncIterator[Unreadable]:
    yield Unreadable()


async def crash_at_the_end(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    try:
        yield "one"
    finally:
        raise OSError(SECRET)


async def teapot(model: str, messages: Messages, body: Body) -> str:
    raise HTTPException(status_code=418, detail="I am a teapot", headers={"x-brew": "tea"})


async def wrong_type(model: str, messages: Messages, body: Body) -> int:
    return 42
