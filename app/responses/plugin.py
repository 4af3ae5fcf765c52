"""Plugin that adds the Responses API: its controller, and the store of kept responses."""

from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin
from litestar.stores.base import Store
from litestar.stores.registry import StoreRegistry

from app.responses.memory import BoundedStore
from app.settings import Settings, SettingsError
from controllers.responses import ResponsesController

NAMESPACE = "openai-api:response"
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
