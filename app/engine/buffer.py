"""A bounded buffer between the producer of a completion's items and the consumer that sends them."""

import asyncio
import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Buffer(Generic[T]):
    """A buffer for producers on the event loop or in threads, and one consumer on the loop.

    Producers wait while it is full. The consumer takes all waiting items at once, so that a burst costs one wake-up,
    and a single item is delivered immediately.

    Args:
        limit: The number of items that may wait.
        idle: Seconds without an item after which `take` returns none; 0 is never.
    """

    def __init__(self, limit: int, idle: float) -> None:
        self.error: BaseException | None = None
        self.closed = False
        self._items: deque[T] = deque()
        self._limit = limit  # 0 once it is closed
        self._loop = asyncio.get_running_loop()
        self._consumer: asyncio.Future[None] | None = None  # waits for items
        self._waiting: deque[asyncio.Future[None]] = deque()  # for room, on the loop
        self._waiting_threads: deque[threading.Lock] = deque()
        self._idle = idle
        self._taken_at = self._loop.time()
        self._timer = self._loop.call_later(idle, self._check_idle) if idle else None

    @property
    def exhausted(self) -> bool:
        """Whether it is closed and empty."""
        return self.closed and not self._items

    def put(self, item: T) -> bool:
        """Add an item from the loop, if there is room."""
        if len(self._items) >= self._limit:
            return False
        self.put_anyway(item)
        return True

    def put_anyway(self, item: T) -> None:
        """Add an item from the loop even if the buffer is full, for callers that cannot wait."""
        self._items.append(item)
        if self._consumer is not None:
            self._wake(self._consumer)
            self._consumer = None  # one wake-up is enough

    async def send(self, item: T) -> None:
        """Add an item from the loop, when there is room; drop it if the buffer is closed."""
        if self.put(item):
            return
        while self._full:
            room = self._loop.create_future()
            self._waiting.append(room)
            await room
        if not self.put(item):
            await asyncio.sleep(0)  # a producer that awaits nothing would block the loop

    def put_from_thread(self, item: T) -> bool:
        """Add an item from a thread, when there is room. Return False if the buffer is closed."""
        while self._full:
            room = threading.Lock()
            room.acquire()
            self._waiting_threads.append(room)
            if self._full:  # the consumer may have made room before it could see this waiter
                room.acquire()
        if self._limit:
            self._items.append(item)
            if (consumer := self._consumer) is not None:
                self._consumer = None  # one wake-up is enough
                self._loop.call_soon_threadsafe(self._wake, consumer)
        return not self.closed

    async def take(self) -> list[T]:
        """Return all waiting items, when there are any; none if it has been idle, or is exhausted."""
        if not self._items and not self.closed:
            consumer = self._consumer = self._loop.create_future()
            if not self._items:  # a thread may have added one before it could see the future
                await consumer
            self._consumer = None
        items = [self._items.popleft() for _ in range(len(self._items))]  # not one that a thread appends meanwhile
        self._taken_at = self._loop.time()
        self._make_room()
        return items

    def close(self, error: BaseException | None = None) -> None:
        """Close the buffer; only the first call has an effect.

        Args:
            error: The reason, unless the producer has come to its end.
        """
        if self.closed:
            return
        self.closed, self.error, self._limit = True, error, 0
        if self._timer is not None:
            self._timer.cancel()
        self._wake(self._consumer)
        self._make_room()

    @property
    def _full(self) -> bool:
        return len(self._items) >= self._limit > 0

    def _make_room(self) -> None:
        while self._waiting:
            self._wake(self._waiting.popleft())
        while self._waiting_threads:
            self._waiting_threads.popleft().release()

    def _check_idle(self) -> None:
        idle_for = self._loop.time() - self._taken_at
        if idle_for >= self._idle:
            self._wake(self._consumer)
            idle_for = 0.0
        self._timer = self._loop.call_later(self._idle - idle_for, self._check_idle)

    @staticmethod
    def _wake(waiter: "asyncio.Future[None] | None") -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
