"""A service's result, whatever it was, poured into a buffer item by item."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from msgspec import Struct

from app.engine.buffer import Buffer
from app.engine.items import Item, is_completion, is_response
from app.engine.run import run_sync
from app.errors import OverloadedError

__all__ = ["CallbackStream", "discard", "pour"]


class CallbackStream(Struct, frozen=True):
    """A result that is not iterated, but calls back with its items.

    Args:
        run: is awaited with the buffer, into which it puts the items: by `await buffer.send(item)` on the
            event loop, or by `buffer.put_from_thread(item)` in a thread, which is False when nobody wants
            more. Both wait while the client is slower. It is cancelled when the client leaves.
    """

    run: Callable[[Buffer[Item]], Awaitable[None]]


async def pour(result: object, buffer: Buffer[Item]) -> None:
    """Put all that a result holds into the buffer, and close it at the end, however that comes.

    Raises:
        TypeError: a service must not return such a result.
    """
    match result:
        case str():
            buffer.put(result)
        case CallbackStream():
            await result.run(buffer)
        case AsyncIterator():
            await _pour_async(result, buffer)
        case Iterator():
            await _pour_in_thread(result, buffer)
        case _ if is_completion(result) or is_response(result):
            buffer.put(result)
        case _:
            raise TypeError(
                f"A completion service returned {type(result).__qualname__}. Return a str, a ChatCompletion "
                "(or a dict of that shape), a Haystack ChatMessage, a sync or async iterator, or a CallbackStream."
            )


async def discard(result: object) -> None:
    """Close a result of which no more is wanted, if it can be closed."""
    closing = _close_method(result)()
    if inspect.isawaitable(closing):
        await closing


async def _pour_async(iterator: AsyncIterator[Item], buffer: Buffer[Item]) -> None:
    try:
        async for item in iterator:
            if not buffer.put(item):
                await buffer.put_when_room(item)
    finally:
        await discard(iterator)


async def _pour_in_thread(iterator: Iterator[Item], buffer: Buffer[Item]) -> None:
    try:
        await run_sync(_pour_sync, iterator, buffer)
    except OverloadedError:  # no thread has seen it
        await discard(iterator)
        raise


def _pour_sync(iterator: Iterator[Item], buffer: Buffer[Item]) -> None:
    try:
        for item in iterator:
            if not buffer.put_from_thread(item):
                break
    finally:
        _close_method(iterator)()


def _close_method(iterator: object) -> Callable[[], Any]:
    for name in ("aclose", "close"):
        if callable(method := getattr(iterator, name, None)):
            return method  # type: ignore[no-any-return]  # of an object that may be anything
    return lambda: None
