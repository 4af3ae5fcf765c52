"""Where responses are kept: in the memory of the process, or in Redis for all processes."""

from datetime import timedelta

from litestar.stores.base import StorageObject, Store

from app.limits.shared import shared_store
from app.settings import Settings

__all__ = ["BoundedStore", "response_store"]

OVERHEAD = 500  # bytes that an entry takes besides its value


def response_store(settings: Settings) -> Store:
    """The store that the settings ask for.

    Raises:
        SettingsError: a setting cannot be used.
    """
    if settings.redis_url:
        return shared_store(settings.redis_url)
    return BoundedStore(settings.responses_memory)


class BoundedStore(Store):
    """Keeps in memory what was set last; Litestar's own keeps all that nobody asks for again, expired or not.

    Args:
        limit: how many bytes it may take; the oldest entries make room.
    """

    def __init__(self, limit: int) -> None:
        self._entries: dict[str, StorageObject] = {}  # the oldest first
        self._limit = limit
        self._size = 0

    async def set(self, key: str, value: str | bytes, expires_in: int | timedelta | None = None) -> None:
        """Keep a value, unless it is larger than the limit."""
        await self.delete(key)
        data = value.encode() if isinstance(value, str) else value
        if len(data) + OVERHEAD > self._limit:
            return
        self._entries[key] = StorageObject.new(data, expires_in)
        self._size += len(data) + OVERHEAD
        while self._entries and (self._size > self._limit or next(iter(self._entries.values())).expired):
            await self.delete(next(iter(self._entries)))

    async def get(self, key: str, renew_for: int | timedelta | None = None) -> bytes | None:
        """A value, if it is there and has not expired."""
        entry = self._entries.get(key)
        if entry is None or entry.expired:
            return None
        if renew_for and entry.expires_at:
            await self.set(key, entry.data, renew_for)
        return entry.data

    async def delete(self, key: str) -> None:
        """Forget a value."""
        if (entry := self._entries.pop(key, None)) is not None:
            self._size -= len(entry.data) + OVERHEAD

    async def delete_all(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._size = 0

    async def exists(self, key: str) -> bool:
        """Whether a value is there."""
        return await self.get(key) is not None

    async def expires_in(self, key: str) -> int | None:
        """The seconds until a value expires; None if it never does, or is not there."""
        entry = self._entries.get(key)
        return None if entry is None else entry.expires_in
