"""Plugin that adds the Responses API: its controller, and the store of kept responses."""

from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.plugins import InitPlugin
from litestar.stores.base import Store
from litestar.stores.registry import StoreRegistry

from app.responses.background import BackgroundResponses
from app.responses.memory import BoundedStore
from app.responses.socket import MEMORY, Refusals
from app.settings import Settings, SettingsError
from controllers.responses import ResponsesController

NAMESPACE = "openai-api:response"


class ResponsesPlugin(InitPlugin):
    """Litestar plugin that adds the Responses API."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the controller and the store."""
        stores = app_config.stores if isinstance(app_config.stores, StoreRegistry) else StoreRegistry(app_config.stores)
        stores.register("responses", response_store(self._settings, app_config))
        stores.register(MEMORY, BoundedStore(self._settings.responses_memory))
        app_config.stores = stores
        background = BackgroundResponses(self._settings.shutdown_grace)
        app_config.state["background_responses"] = background
        app_config.lifespan.append(background.running)
        app_config.dependencies.setdefault("token_counter", Provide(provide_no_token_counter))
        app_config.route_handlers.append(ResponsesController)
        app_config.middleware.insert(0, Refusals())
        return app_config


async def provide_no_token_counter() -> None:
    """Provide no counter of tokens."""


def response_store(settings: Settings, app_config: AppConfig) -> Store:
    """Return the store that the settings ask for: the memory of the process, or Redis for all processes."""
    if not settings.redis_url:
        return BoundedStore(settings.responses_memory)
    try:
        from litestar.stores.redis import RedisStore

        from app.responses.pausing import connect

        redis = connect(settings.redis_url)
    except ImportError:
        raise SettingsError("REDIS_URL needs the extra `redis`: uv run --extra redis litestar run.") from None
    except ValueError:  # its message may contain a part of the password
        raise SettingsError("REDIS_URL is no address of a Redis, as redis://localhost:6379 is.") from None
    app_config.on_shutdown.append(redis.aclose)  # Litestar would close it before the responses in the background end
    return RedisStore(redis, namespace=NAMESPACE)
