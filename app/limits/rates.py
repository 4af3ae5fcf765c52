"""Rate limits: so many requests a minute for each API key, or without keys for each client's address.

They are counted by `limits` in sliding windows, which keep two numbers for each caller. In memory its sync storage is
used: its async one walks through all callers at each request, which takes 870 µs with 10,000 callers instead of 11 µs.
Litestar's own middleware has one lock for all callers, is not atomic across processes, and has no `retry-after`.
"""

import logging
import math
import time
from importlib.util import find_spec
from typing import Protocol

from limits import RateLimitItemPerMinute, WindowStats
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter as AsyncRateLimiter
from limits.errors import ConfigurationError
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Struct

from app.errors import RateLimitError
from app.settings import SettingsError
from app.web.authentication import PUBLIC

RATE_LIMIT_HEADERS = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")
TIMEOUT = 1.0  # seconds that Redis may take to answer
PAUSE = 5.0  # seconds for which a Redis that did not answer is not asked again

logger = logging.getLogger("app.limits")


class RateLimits(ASGIMiddleware):
    """Refuses requests over the limit, and adds OpenAI's headers to every response. Public routes have no limit."""

    scopes = (ScopeType.HTTP,)
    exclude_opt_key = PUBLIC

    def __init__(self, requests_per_minute: int, counter: "Counter") -> None:
        self._limit = requests_per_minute
        self._counter = counter

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Pass the request on if its caller has one left.

        Raises:
            RateLimitError: The caller has none left.
        """
        allowance = await self._counter.hit(_caller_of(scope))
        values = (str(self._limit), str(allowance.remaining), _duration(allowance.reset_in))
        headers = dict(zip(RATE_LIMIT_HEADERS, values, strict=True))
        if not allowance.granted:
            raise RateLimitError(self._limit, wait=allowance.reset_in, headers=headers)
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *encoded]
            await send(message)

        await next_app(scope, receive, send_with_headers)


class Allowance(Struct, frozen=True):
    """Whether a request is granted, how many remain, and the seconds until there is one more."""

    granted: bool
    remaining: int
    reset_in: float


class Counter(Protocol):
    """Counts the requests of callers."""

    async def hit(self, caller: str) -> Allowance:
        """Count a request, unless its caller has none left."""
        ...


def counter_for(requests_per_minute: int, redis_url: str) -> Counter:
    """Return a counter in Redis if there is a URL, or else in memory.

    Raises:
        SettingsError: The URL cannot be used.
    """
    in_memory = MemoryCounter(requests_per_minute)
    return RedisCounter(requests_per_minute, redis_url, in_memory) if redis_url else in_memory


class MemoryCounter:
    """Counts the requests of this process."""

    def __init__(self, requests_per_minute: int) -> None:
        self._item = RateLimitItemPerMinute(requests_per_minute)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def hit(self, caller: str) -> Allowance:
        """Count a request, unless its caller has none left."""
        granted = self._limiter.hit(self._item, caller)
        return _allowance(granted, self._limiter.get_window_stats(self._item, caller))


class RedisCounter:
    """Counts the requests of all processes in Redis; while it does not answer, `fallback` counts."""

    def __init__(self, requests_per_minute: int, url: str, fallback: Counter) -> None:
        self._item = RateLimitItemPerMinute(requests_per_minute)
        storage = _redis(url)
        base = storage.base_exceptions
        self._errors: tuple[type[Exception], ...] = (*(base if isinstance(base, tuple) else (base,)), OSError)
        self._limiter = AsyncRateLimiter(storage)
        self._fallback = fallback
        self._paused_until = 0.0

    async def hit(self, caller: str) -> Allowance:
        """Count a request, unless its caller has none left."""
        if time.monotonic() < self._paused_until:
            return await self._fallback.hit(caller)
        try:
            granted = await self._limiter.hit(self._item, caller)
            return _allowance(granted, await self._limiter.get_window_stats(self._item, caller))
        except self._errors as error:
            if time.monotonic() >= self._paused_until:  # no other request has logged it
                logger.warning("Redis does not answer, so each process limits on its own for %g s: %s", PAUSE, error)
            self._paused_until = time.monotonic() + PAUSE
            return await self._fallback.hit(caller)


def _redis(url: str) -> RedisStorage:
    if find_spec("redis") is None:
        raise SettingsError("REDIS_URL needs the extra `redis`: uv run --extra redis litestar run.")
    url = url.replace("unix://", "redis+unix://", 1) if url.startswith("unix://") else url
    try:
        return RedisStorage(
            f"async+{url}",
            implementation="redispy",
            key_prefix="openai-api:rate",
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
        )
    except (ConfigurationError, ValueError):  # their messages may hold a part of the password
        raise SettingsError("REDIS_URL is no address of a Redis, as redis://localhost:6379 is.") from None


def _allowance(granted: bool, window: WindowStats) -> Allowance:
    return Allowance(granted, window.remaining if granted else 0, max(window.reset_time - time.time(), 0.0))


def _caller_of(scope: Scope) -> str:
    """Return the id of the key, or else the address, which is a proxy's unless uvicorn trusts the proxy."""
    if owner := scope.get("user"):
        return str(owner)
    client = scope.get("client")
    return f"address_{client[0]}" if client else "address_unknown"


def _duration(seconds: float) -> str:
    """Return a duration as OpenAI writes it: `6m0s`, `1.5s`, `20ms`."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"
