"""A bounded buffer between the producers of a completion's items and the consumer that sends them."""

import asyncio
import threading

from app.errors import log_late

LIMIT = 128  # items of a stream that may wait for its client


class Buffer:
    """A buffer for producers on the event loop or in threads, and one consumer on the loop.

    Producers wait while it is full. The consumer takes all waiting items at once, so that a burst costs one wake-up,
    and a single item is delivered immediately. The lock guards what threads touch; calls on the loop cannot overlap.

    Args:
        unbounded: Whether producers never wait, as the consumer wants all items at the end.
    """

    def __init__(self, *, unbounded: bool = False) -> None:
        self.error: BaseException | None = None
        self.closed = False
        self.unbounded = unbounded
        self._limit = LIMIT  # 0 once it is closed
        self._items: list[object] = []
        self._loop = asyncio.get_running_loop()
        self._consumer: asyncio.Future[None] | None = None  # waits for items, or for the end
        self._waiting: list[asyncio.Future[None]] = []  # for room, on the loop
        self._lock = threading.Lock()
        self._room: threading.Condition | None = None  # for threads, once one waits
        self.taken_at = self._loop.time()

    @property
    def exhausted(self) -> bool:
        """Whether it is closed and empty."""
        return self.closed and not self._items

    def put(self, item: object) -> bool:
        """Add an item from the loop, if there is room."""
        if len(self._items) >= self._limit:
            return False
        self.put_anyway(item)
        return True

    def put_anyway(self, item: object) -> None:
        """Add an item from the loop even if the buffer is full, for callers that cannot wait."""
        self._items.append(item)
        if self._consumer is not None and not self.unbounded:
            self.wake()

    async def send(self, item: object) -> None:
        """Add an item from the loop, when there is room; drop it if the buffer is closed."""
        if self.put(item):
            return
        while self._full:
            if self.unbounded:
                self._limit += LIMIT
                break
            room = self._loop.create_future()
            self._waiting.append(room)
            await room
        if not self.put(item) or self.unbounded:
            await asyncio.sleep(0)  # a producer that awaits nothing would block the loop

    def put_from_thread(self, item: object) -> bool:
        """Add an item from a thread, when there is room. Return False if the buffer is closed."""
        with self._lock:
            while self._full and not self.unbounded:
                self._room = self._room or threading.Condition(self._lock)
                self._room.wait()
            if self.closed:
                return False
            self._items.append(item)
            consumer = None if self.unbounded else self._consumer
            if consumer is not None:
                self._consumer = None  # one wake-up is enough
        if consumer is not None:
            self._loop.call_soon_threadsafe(_resolve, consumer)
        return True

    async def take(self) -> list[object]:
        """Return all waiting items, when there are any (all items there will be, if it is unbounded).

        Returns none if it is exhausted or was woken.
        """
        consumer = None
        with self._lock:
            if not self.closed and (self.unbounded or not self._items):
                consumer = self._consumer = self._loop.create_future()
        if consumer is not None:
            await consumer
        with self._lock:
            self._consumer = None
            items, self._items = self._items, []
            self._notify_threads()
        self.taken_at = self._loop.time()
        self._release_waiting()
        return items

    def wake(self) -> None:
        """Let the consumer go on, even if there is no item."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            _resolve(consumer)

    def close(self, error: BaseException | None = None) -> None:
        """Close the buffer, by an error unless the producer has come to its end; only the first call has an effect."""
        if self.closed:
            log_late(error)
            return
        with self._lock:
            self.closed, self.error, self._limit = True, error, 0
            self._notify_threads()
        self.wake()
        self._release_waiting()

    @property
    def _full(self) -> bool:
        return len(self._items) >= self._limit > 0

    def _notify_threads(self) -> None:
        if self._room is not None:
            self._room.notify_all()

    def _release_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for room in waiting:
            _resolve(room)


def _resolve(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
