"""What a completion service may return: `put_items` puts the items of any result into a sink."""

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from app.engine.buffer import Buffer
from app.engine.items import Item, ItemReader, is_completion, is_response, upstream_error
from app.engine.run import run_sync

__all__ = ["CallbackStream", "Item", "Sink"]


Sink: TypeAlias = Buffer


class CallbackStream(Struct, frozen=True):
    """A result that passes its items to a callback instead of being iterated.

    Args:
        run: Awaited with the sink into which it puts the items: by `await sink.send(item)` on the event loop, or by
            `sink.put_from_thread(item)` in a thread, which returns False when the completion has been stopped. Both
            wait while the client is slower. It is cancelled when the client leaves.
    """

    run: Callable[[Sink], Awaitable[None]]


async def put_items(result: object, sink: Sink) -> None:
    """Put all items of a result into the sink; raise an error for an upstream's error, and for what is no result."""
    match result:
        case str():
            sink.put_anyway(result)
        case CallbackStream():
            await result.run(sink)
        case AsyncIterable():
            await _put_async(aiter(result), sink)
        case _ if is_completion(result) or is_response(result):
            sink.put_anyway(result)
        case {"error": error} if error:
            raise upstream_error(error)
        case Iterable() if not isinstance(result, Mapping | bytes | bytearray):
            await _put_in_thread(result, sink)
        case _:
            raise TypeError(
                f"A completion service returned {type(result).__qualname__}. Return a str, a ChatCompletion "
                "(or a dict of that shape), a Haystack ChatMessage, a sync or async iterator, or a CallbackStream."
            )


async def put_parts(result: object, sink: Sink, reader: ItemReader, choice: int | None) -> None:
    """Put the parts of all items of a result into the sink, of one choice if the service was asked for each."""
    unread = Buffer()

    async def put() -> None:
        try:
            await put_items(result, unread)
        except BaseException as error:
            unread.close(error)
        unread.close()

    task = asyncio.create_task(put())
    try:
        while not unread.exhausted:
            for item in await unread.take():
                for part in await reader.resolve(item, choice):
                    await sink.send(part)
        if unread.error is not None:
            raise unread.error
    finally:
        unread.close()
        task.cancel()
        await asyncio.wait([task])


async def discard(result: object) -> None:
    """Close a result that is not used, if it can be closed."""
    closing = _close_method(result)()
    if inspect.isawaitable(closing):
        await closing


async def _put_async(iterator: AsyncIterator[Item], sink: Sink) -> None:
    try:
        async for item in iterator:
            if not sink.put(item):
                await sink.send(item)
                if sink.closed:  # it has swallowed its cancellation, so it is closed as a sync one
                    break
    finally:
        await discard(iterator)


async def _put_in_thread(result: Iterable[Item], sink: Sink) -> None:
    has_begun = False

    def put_all() -> None:
        nonlocal has_begun
        has_begun = True
        iterator = iter(result)
        try:
            for item in iterator:
                if not sink.put_from_thread(item):
                    break
        finally:
            _close_method(iterator)()

    try:
        await run_sync(put_all)
    finally:
        if not has_begun:  # it was cancelled while all threads were busy
            await discard(result)


def _close_method(iterator: object) -> Callable[[], Any]:
    for name in ("aclose", "close"):
        method: Callable[[], Any] | None = getattr(iterator, name, None)
        if callable(method):
            return method
    return lambda: None
