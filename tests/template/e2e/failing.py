"""Models that fail: at once, before the first item or in the middle of a stream."""

import json
from collections.abc import AsyncIterator, Iterator

from app.errors import CompletionError
from app.registry import Pipelines
from app.services import Body, Messages

__all__ = ["SECRET", "add_failing_models"]

SECRET = "postgres://admin:hunter2@db.internal"  # noqa: S105 - a text that no client may read


def add_failing_models(pipelines: Pipelines) -> None:
    """Register the models of this file, each by its name with hyphens."""
    for model in (refuse_after, crash, crash_before, crash_after, crash_after_sync):
        pipelines.add(model.__name__.replace("_", "-"), model)


def requested_error(messages: Messages) -> CompletionError:
    """Return the error whose fields the prompt has as JSON."""
    return CompletionError(**json.loads(str(messages[-1].get("content"))))


def refuse_after(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield "one"
    yield " two"
    raise requested_error(messages)


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
