"""A client of Redis that does not wait again for a Redis that did not answer."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.responses.entries import unreachable

TIMEOUT = 5.0  # seconds that Redis may take to answer
PAUSE = 5.0  # seconds

logger = logging.getLogger("app.responses")


def connect(url: str) -> Redis:
    """Return a client; it connects anew where a connection has died since its last use.

    Raises:
        ValueError: The address is none of a Redis.
    """
    died = (RedisConnectionError,)  # a retry after a timeout would double the wait
    retry = Retry(NoBackoff(), 1, died)
    return PausingRedis.from_url(
        url, retry=retry, retry_on_error=[*died], socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
    )


class PausingRedis(Redis):
    """Raises an OverloadedError at once for some seconds after a command failed; then one command tries again."""

    _tries_at: float | None = None  # None while Redis answers

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Return the answer, or raise an OverloadedError if there is none."""
        execute: Callable[..., Awaitable[Any]] = super().execute_command  # redis has no types for it
        if tries_again := self._tries_at is not None:
            if time.monotonic() < self._tries_at:
                raise unreachable()
            self._tries_at = time.monotonic() + PAUSE  # for others, while this one waits
        try:
            answer = await execute(*args, **options)
        except (RedisConnectionError, RedisTimeoutError) as error:
            if self._tries_at is None:
                logger.warning("Redis does not answer, so no responses are kept until it does: %s", error)
            self._tries_at = time.monotonic() + PAUSE
            raise unreachable() from None
        if tries_again and self._tries_at is not None:  # no other command has said it
            logger.info("Redis answers again, so responses are kept.")
            self._tries_at = None
        return answer
