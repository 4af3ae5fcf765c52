"""The store of responses in the memory of the process."""

import time
from collections.abc import Iterator, MutableMapping
from datetime import timedelta
from math import inf

from cachetools import TLRUCache
from litestar.stores.base import StorageObject
from litestar.stores.memory import MemoryStore

OVERHEAD = 500  # bytes that an entry takes besides its value


class BoundedStore(MemoryStore):
    """Litestar's in-memory store with a limit in bytes, which the owners of the entries share.

    The owner is the part of a key before its first colon. Expired entries make room first, then the least recently
    used ones of the owner who has the most: no entry of another makes room for those of one who has more.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._cache = _SharedCache(limit)
        self._store = self._cache  # type: ignore[assignment]  # used like the dict that it replaces

    def forget(self, owner: str) -> None:
        """Delete the entries of an owner."""
        self._cache.forget(f"{owner}:")

    async def set(self, key: str, value: str | bytes, expires_in: int | timedelta | None = None) -> None:
        """Store a value; without the lock, as nothing is awaited here.

        Raises:
            ValueError: It is too large.
        """
        self._store.pop(key, None)
        self._store[key] = StorageObject.new(value.encode() if isinstance(value, str) else value, expires_in)


class _SharedCache(MutableMapping[str, StorageObject]):
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._caches: dict[str, TLRUCache[str, StorageObject]] = {}  # by owner

    def __getitem__(self, key: str) -> StorageObject:
        return self._cache(key)[key]

    def __setitem__(self, key: str, entry: StorageObject) -> None:
        """Add an entry, unless the owners who have less than it takes leave no room for it."""
        for owner, cache in [*self._caches.items()]:
            cache.expire()
            if not cache.currsize:
                del self._caches[owner]
        cache, size = self._cache(key), _size(entry)
        if size + sum(min(size, other.currsize) for other in self._caches.values() if other is not cache) > self._limit:
            raise ValueError("The value is too large.")
        self._caches[_owner(key)] = cache
        cache[key] = entry
        while sum(each.currsize for each in self._caches.values()) > self._limit:
            max(self._caches.values(), key=lambda each: each.currsize).popitem()

    def __delitem__(self, key: str) -> None:
        del self._cache(key)[key]

    def __iter__(self) -> Iterator[str]:
        return (key for cache in self._caches.values() for key in cache)

    def __len__(self) -> int:
        return sum(map(len, self._caches.values()))

    def forget(self, owner: str) -> None:
        """Delete the entries of an owner."""
        self._caches.pop(owner, None)

    def _cache(self, key: str) -> "TLRUCache[str, StorageObject]":
        return self._caches.get(_owner(key)) or TLRUCache(self._limit, _expiry, time.time, _size)


def _owner(key: str) -> str:
    return key[: key.find(":") + 1]


def _size(entry: StorageObject) -> int:
    return len(entry.data) + OVERHEAD


def _expiry(key: str, entry: StorageObject, now: float) -> float:
    return entry.expires_at.timestamp() if entry.expires_at else inf
