"""Buckets that all processes and machines share, in Redis. Needs the extra `redis`."""

import logging
from time import monotonic
from typing import cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.limits.buckets import Allowance, MemoryBuckets, Rate

__all__ = ["RedisBuckets"]

logger = logging.getLogger("app.limits.redis_buckets")

PREFIX = "openai-api:bucket:"
CONNECTIONS = 50  # at most, to Redis; requests that find none wait for one
TIMEOUT = 1.0  # seconds that Redis may take to answer
PAUSE = 5.0  # seconds in which a Redis that did not answer is left alone

# In one step, and by the clock of Redis, so that processes neither race nor differ about the time.
TAKE = """
local interval, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_in = math.max(tonumber(redis.call('GET', KEYS[1]) or 0) - now, 0)
if full_in + interval > window then
    return {0, full_in}
end
full_in = full_in + interval
redis.call('SET', KEYS[1], string.format('%.0f', now + full_in), 'PX', math.ceil(full_in / 1000))
return {1, full_in}
"""


class RedisBuckets:
    """Buckets in Redis; while it cannot be reached, those of this process do."""

    def __init__(self, rate: Rate, url: str) -> None:
        self._rate = rate
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 1),  # for a connection that has died since it was used
        )
        self._redis = Redis.from_pool(pool)
        self._take = self._redis.register_script(TAKE)
        self._own = MemoryBuckets(rate)
        self._paused_until = 0.0

    async def take(self, caller: str) -> Allowance:
        """Take one request out of the caller's bucket, if one is left."""
        if monotonic() < self._paused_until:
            return await self._own.take(caller)
        try:
            answer = await self._take(keys=[PREFIX + caller], args=[self._rate.interval, self._rate.window])
        except (RedisError, OSError) as error:
            self._pause(error)
            return await self._own.take(caller)
        granted, full_in = cast("list[int]", answer)
        return Allowance(granted=bool(granted), full_in=full_in)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _pause(self, error: Exception) -> None:
        if monotonic() >= self._paused_until:  # else another request has just said so
            logger.warning("Redis does not answer, so each process limits on its own for %g s: %s", PAUSE, error)
        self._paused_until = monotonic() + PAUSE
