"""A client of Redis that does not wait again for a Redis that did not answer."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

PAUSE = 5.0  # seconds


class PausingRedis(Redis):
    """Raises an error at once for some seconds after a command failed; then one command tries again."""

    _tries_at: float | None = None  # None while Redis answers

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Return the answer, or raise an error of redis."""
        execute: Callable[..., Awaitable[Any]] = super().execute_command  # redis has no types for it
        if self._tries_at is not None:
            if time.monotonic() < self._tries_at:
                raise RedisConnectionError("Redis did not answer a moment ago, so it is not asked.")
            self._tries_at = time.monotonic() + PAUSE  # for others, while this one waits
        try:
            answer = await execute(*args, **options)
        except (RedisConnectionError, RedisTimeoutError):
            self._tries_at = time.monotonic() + PAUSE
            raise
        self._tries_at = None
        return answer
