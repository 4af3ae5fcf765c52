"""How many requests each caller has left: a bucket that holds a minute's worth, and fills again all the time."""

from collections.abc import Callable
from time import monotonic_ns
from typing import Protocol

from msgspec import Struct

__all__ = ["Allowance", "Buckets", "MemoryBuckets", "Rate"]

MINUTE = 60_000_000  # times are in microseconds, whole numbers: Redis counts in them too


class Rate(Struct, frozen=True):
    """So many requests a minute."""

    requests: int

    @property
    def interval(self) -> int:
        """Microseconds in which one more request is allowed."""
        return MINUTE // self.requests

    @property
    def window(self) -> int:
        """Microseconds in which an empty bucket is full again."""
        return self.interval * self.requests


class Allowance(Struct, frozen=True):
    """What a caller was told: whether this request is granted, and microseconds until the bucket is full."""

    granted: bool
    full_in: int


class Buckets(Protocol):
    """A bucket for each caller."""

    async def take(self, caller: str) -> Allowance:
        """Take one request out of the caller's bucket, if one is left."""
        ...

    async def close(self) -> None:
        """Let go of what the buckets are kept in."""
        ...


class MemoryBuckets:
    """Buckets of this process alone.

    Of each, only the time is kept at which it is full; one that is full is forgotten.
    """

    def __init__(self, rate: Rate, clock: Callable[[], int] = monotonic_ns) -> None:
        self._rate = rate
        self._clock = clock
        self._full_at: dict[str, int] = {}
        self._swept_at = 0

    def __len__(self) -> int:
        return len(self._full_at)

    async def take(self, caller: str) -> Allowance:
        """Take one request out of the caller's bucket, if one is left."""
        now = self._clock() // 1000
        if now - self._swept_at > self._rate.window:
            self._full_at = {each: full_at for each, full_at in self._full_at.items() if full_at > now}
            self._swept_at = now
        full_in = max(self._full_at.get(caller, 0) - now, 0)
        if full_in + self._rate.interval > self._rate.window:
            return Allowance(granted=False, full_in=full_in)
        full_in += self._rate.interval
        self._full_at[caller] = now + full_in
        return Allowance(granted=True, full_in=full_in)

    async def close(self) -> None:
        """Nothing is held open."""
