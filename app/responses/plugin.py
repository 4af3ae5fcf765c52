"""Plugin that adds the Responses API: its controller, and the store of kept responses."""

import time
from contextlib import suppress
from datetime import timedelta
from math import inf

from cachetools import TLRUCache
from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin
from litestar.stores.base import StorageObject, Store
from litestar.stores.memory import MemoryStore
from litestar.stores.registry import StoreRegistry

from app.settings import Settings, SettingsError
from controllers.responses import ResponsesController

NAMESPACE = "openai-api:response"
OVERHEAD = 500  # bytes that an entry takes besides its value
TIMEOUT = 5.0  # seconds that Redis may take to answer


class ResponsesPlugin(InitPlugin):
    """Litestar plugin that adds the Responses API."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the controller and the store."""
        stores = app_config.stores if isinstance(app_config.stores, StoreRegistry) else StoreRegistry(app_config.stores)
        stores.register("responses", response_store(self._settings))
        app_config.stores = stores
        app_config.route_handlers.append(ResponsesController)
        return app_config


def response_store(settings: Settings) -> Store:
    """Return the store that the settings ask for: the memory of the process, or Redis for all processes."""
    if not settings.redis_url:
        return BoundedStore(settings.responses_memory)
    try:
        from litestar.stores.redis import RedisStore

        from app.responses.pausing import PausingRedis

        redis = PausingRedis.from_url(settings.redis_url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
    except ImportError:
        raise SettingsError("REDIS_URL needs the extra `redis`: uv run --extra redis litestar run.") from None
    except ValueError:  # its message may contain a part of the password
        raise SettingsError("REDIS_URL is no address of a Redis, as redis://localhost:6379 is.") from None
    return RedisStore(redis, namespace=NAMESPACE, handle_client_shutdown=True)


class BoundedStore(MemoryStore):
    """Litestar's in-memory store with a limit in bytes: expired and least recently used entries make room."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._store = TLRUCache(  # type: ignore[assignment]  # used like the dict that it replaces
            limit,
            ttu=lambda key, entry, now: entry.expires_at.timestamp() if entry.expires_at else inf,
            timer=time.time,
            getsizeof=lambda entry: len(entry.data) + OVERHEAD,
        )

    async def set(self, key: str, value: str | bytes, expires_in: int | timedelta | None = None) -> None:
        """Store a value, unless it is larger than the limit; without the lock, as nothing is awaited here."""
        data = value.encode() if isinstance(value, str) else value
        self._store.pop(key, None)
        with suppress(ValueError):  # it is larger
            self._store[key] = StorageObject.new(data, expires_in)
