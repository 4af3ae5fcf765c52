"""Rate limits: so many requests a minute for each API key, or without keys for each client's address.

`limits` counts in sliding windows, two numbers a caller: fixed windows grant twice the limit where two of them meet,
moving windows keep the time of each request. Its sync storage in memory takes 7 µs a request with 10,000 callers, its
async one 900. Litestar's own middleware sends no `retry-after`, and its counts are not atomic across processes.
"""

import logging
import math
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from limits.aio.storage import RedisStorage
from limits.errors import StorageError
from limits.storage import MemoryStorage
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import RateLimitError
from app.web.authentication import PUBLIC
from app.web.logs import QUIET

# Requests in the previous minute, its TTL, those in this one, its TTL
Window: TypeAlias = tuple[int, float, int, float]
RATE_LIMIT_HEADERS = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")
MINUTE = 60  # seconds
PAUSE = 5.0  # seconds for which a Redis that did not answer is not asked again

logger = logging.getLogger("app.limits")


class RateLimits(ASGIMiddleware):
    """Refuses requests over the limit, and adds OpenAI's headers to every response.

    Public routes, and quiet ones such as that of the metrics, have no limit: a scraper takes nothing from a caller.
    `redis` counts for all processes; without it, or while it does not answer, each process counts for itself.
    """

    scopes = (ScopeType.HTTP,)
    exclude_opt_key = PUBLIC
    should_bypass_for_scope = staticmethod(lambda scope: bool(scope["route_handler"].opt.get(QUIET)))

    def __init__(self, requests_per_minute: int, redis: RedisStorage | None) -> None:
        self._limit = requests_per_minute
        self._redis = redis
        self._paused_until = 0.0  # while Redis answers
        self._memory = MemoryStorage()

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Pass the request on, or raise RateLimitError if its caller has none left."""
        granted, window = await self._hit(_caller_of(scope))
        weight, next_in, reset_in = _figures(window)
        values = (str(self._limit), str(max(self._limit - weight, 0) if granted else 0), _duration(reset_in))
        headers = dict(zip(RATE_LIMIT_HEADERS, values, strict=True))
        if not granted:
            raise RateLimitError(self._limit, wait=next_in, headers=headers)
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *encoded]
            await send(message)

        await next_app(scope, receive, send_with_headers)

    async def _hit(self, caller: str) -> tuple[bool, Window]:
        """Count a request if its caller has one left; return whether it does, and the counts."""
        if self._redis is not None and time.monotonic() >= self._paused_until:
            tries_again = self._paused_until > 0
            try:
                granted = await self._redis.acquire_sliding_window_entry(caller, self._limit, MINUTE)
                window = await self._redis.get_sliding_window(caller, MINUTE)
            except (StorageError, OSError) as error:
                if not self._paused_until:
                    logger.warning("Redis does not answer, so each process limits on its own until it does: %s", error)
                self._paused_until = time.monotonic() + PAUSE
            else:
                if tries_again and self._paused_until:  # no other request has said it
                    logger.info("Redis answers again, so all processes limit together.")
                    self._paused_until = 0.0
                return granted, window
        granted = self._memory.acquire_sliding_window_entry(caller, self._limit, MINUTE)
        return granted, self._memory.get_sliding_window(caller, MINUTE)


def _figures(window: Window) -> tuple[int, float, float]:
    """Return how many requests count, the seconds until one fewer does, and those until none does."""
    previous, previous_ttl, current, current_ttl = window
    next_in = previous_ttl % (MINUTE / previous) if previous else current_ttl - MINUTE
    reset_in = current_ttl - MINUTE / current if current else previous_ttl - MINUTE / max(previous, 1)
    return math.floor(previous * previous_ttl / MINUTE) + current, next_in, reset_in


def _caller_of(scope: Scope) -> str:
    """Return the id of the key, or else the address, which is a proxy's unless uvicorn trusts the proxy."""
    client = scope.get("client")
    return str(scope.get("user") or f"address_{_network_of(client[0] if client else '')}")


def _network_of(host: str) -> str:
    """Return the address, or the /64 of one of IPv6, which is what a single client has; all other hosts are one."""
    try:
        address = ip_address(host)
    except ValueError:
        return "unknown"
    if isinstance(address, IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))


def _duration(seconds: float) -> str:
    """Return a duration as OpenAI writes it: `6m0s`, `1.5s`, `20ms`."""
    milliseconds = max(round(seconds * 1000), 0)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"
