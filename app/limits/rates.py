"""Rate limits: so many requests a minute for each key, or for each client's address where there are no keys.

Litestar's own middleware takes one lock for all callers, cannot count across processes without races,
and names neither OpenAI's headers nor `retry-after`.
"""

import math

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import RateLimitError
from app.limits.buckets import Allowance, Buckets, Rate
from app.web.authentication import OPEN

__all__ = ["RATE_LIMIT_HEADERS", "RateLimits"]

RATE_LIMIT_HEADERS = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")
SECOND = 1_000_000  # microseconds


class RateLimits(ASGIMiddleware):
    """Refuses what is too much, and tells every caller what is left. A route that needs no key has no limit."""

    scopes = (ScopeType.HTTP,)
    exclude_opt_key = OPEN

    def __init__(self, rate: Rate, buckets: Buckets) -> None:
        self._rate = rate
        self._buckets = buckets

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Let the request pass, if its caller has one left.

        Raises:
            RateLimitError: there is none.
        """
        allowance = await self._buckets.take(_caller_of(scope))
        headers = self._headers(allowance)
        if not allowance.granted:
            wait = (allowance.full_in + self._rate.interval - self._rate.window) / SECOND
            raise RateLimitError(self._rate.requests, wait=wait, headers=headers)
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *encoded]
            await send(message)

        await next_app(scope, receive, send_with_headers)

    def _headers(self, allowance: Allowance) -> dict[str, str]:
        remaining = (self._rate.window - allowance.full_in) // self._rate.interval
        values = (str(self._rate.requests), str(remaining), _duration(allowance.full_in / SECOND))
        return dict(zip(RATE_LIMIT_HEADERS, values, strict=True))


def _caller_of(scope: Scope) -> str:
    """The id of the key; else the address, which is the proxy's unless uvicorn trusts what the proxy says."""
    if owner := scope.get("user"):
        return str(owner)
    client = scope.get("client")
    return f"address_{client[0]}" if client else "address_unknown"


def _duration(seconds: float) -> str:
    """As OpenAI writes it: `6m0s`, `1.5s`, `20ms`."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"
