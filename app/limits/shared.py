"""What processes and machines share: it is in Redis, whose package is an extra."""

from collections.abc import Iterator
from contextlib import contextmanager

from litestar.stores.base import Store

from app.settings import SettingsError

__all__ = ["shared_store"]

NAMESPACE = "openai-api:response"
TIMEOUT = 5.0  # seconds that Redis may take to answer


def shared_store(url: str) -> Store:
    """A store that all read and write.

    Raises:
        SettingsError: `REDIS_URL` cannot be used.
    """
    with _explained():
        from litestar.stores.redis import RedisStore
        from redis.asyncio import Redis

        redis = Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        return RedisStore(redis, namespace=NAMESPACE, handle_client_shutdown=True)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise SettingsError("REDIS_URL needs the extra `redis`: uv run --extra redis litestar run.") from None
    except ValueError:  # whose message may hold a part of the password
        raise SettingsError("REDIS_URL is no address of a Redis, as redis://localhost:6379 is.") from None
