"""What a completion service may return: `put_items` puts the items of any result into a sink."""

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from app.engine.buffer import Buffer
from app.engine.items import ChoiceItem, Item, ItemReader, is_completion, is_response
from app.engine.run import run_sync

__all__ = ["CallbackStream", "Item", "Sink"]


class ChoiceSink:
    """Takes the items of one of several choices, each of which the service is asked for; otherwise like a `Buffer`."""

    def __init__(self, buffer: Buffer[Item], index: int) -> None:
        self._buffer = buffer
        self._index = index

    @property
    def closed(self) -> bool:
        """Whether the completion has been stopped."""
        return self._buffer.closed

    def put(self, item: Item) -> bool:
        """Add an item from the event loop, if there is room."""
        return self._buffer.put(ChoiceItem(self._index, item))

    def put_anyway(self, item: Item) -> None:
        """Add an item from the event loop even if there is no room."""
        self._buffer.put_anyway(ChoiceItem(self._index, item))

    async def send(self, item: Item) -> None:
        """Add an item from the event loop, when there is room."""
        await self._buffer.send(ChoiceItem(self._index, item))

    def put_from_thread(self, item: Item) -> bool:
        """Add an item from a thread, when there is room. Return False if the completion has been stopped."""
        return self._buffer.put_from_thread(ChoiceItem(self._index, item))


Sink: TypeAlias = Buffer[Item] | ChoiceSink


class CallbackStream(Struct, frozen=True):
    """A result that passes its items to a callback instead of being iterated.

    Args:
        run: Awaited with the sink into which it puts the items: by `await sink.send(item)` on the event loop, or by
            `sink.put_from_thread(item)` in a thread, which returns False when the completion has been stopped. Both
            wait while the client is slower. It is cancelled when the client leaves.
    """

    run: Callable[[Sink], Awaitable[None]]


async def put_items(result: object, sink: Sink) -> None:
    """Put all items of a result into the sink.

    Raises:
        TypeError: A service must not return such a result.
    """
    match result:
        case str():
            sink.put_anyway(result)
        case CallbackStream():
            await result.run(sink)
        case AsyncIterable():
            await _put_async(aiter(result), sink)
        case _ if is_completion(result) or is_response(result):
            sink.put_anyway(result)
        case Iterable() if not isinstance(result, Mapping | bytes | bytearray):
            await _put_in_thread(result, sink)
        case _:
            raise TypeError(
                f"A completion service returned {type(result).__qualname__}. Return a str, a ChatCompletion "
                "(or a dict of that shape), a Haystack ChatMessage, a sync or async iterator, or a CallbackStream."
            )


async def put_mapped_items(result: object, sink: Sink, reader: ItemReader) -> None:
    """Put all items of a result into the sink, read by a reader whose chunk mapper is async."""
    unread = Buffer[Item]()

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
                for part in await reader.resolve(item):
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
