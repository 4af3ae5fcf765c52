"""Litestar plugin that adds the limits which the settings enable."""

from typing import Any

from limits.aio.storage import RedisStorage
from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin

from app.limits.hosts import AllowedHosts
from app.limits.rates import RATE_LIMIT_HEADERS, RateLimits
from app.settings import Settings, SettingsError

TIMEOUT = 1.0  # seconds that Redis may take to answer


class LimitsPlugin(InitPlugin):
    """Checks the host (`ALLOWED_HOSTS`) before the API key, and the rate (`REQUESTS_PER_MINUTE`) after it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the middleware; raise SettingsError if `REDIS_URL` cannot be used."""
        settings = self._settings
        if settings.allowed_hosts and "*" not in settings.allowed_hosts:
            app_config.middleware.insert(0, AllowedHosts(settings.allowed_hosts))
        if settings.requests_per_minute:
            redis = _redis(settings.redis_url, app_config) if settings.redis_url else None
            app_config.middleware.append(RateLimits(settings.requests_per_minute, redis))
            if app_config.cors_config is not None:
                app_config.cors_config.expose_headers.extend(RATE_LIMIT_HEADERS)
        return app_config


def _redis(url: str, app_config: AppConfig) -> RedisStorage:
    """Return the storage in Redis, whose connections are closed when the application shuts down."""
    try:
        import redis.asyncio.retry
    except ImportError:
        raise SettingsError("REDIS_URL needs the extra `redis`: uv run --extra redis litestar run.") from None
    died = (redis.ConnectionError,)  # since its last use; a retry after a timeout would double the wait
    retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 1, died)
    times = {"timeout": TIMEOUT, "socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
    try:
        pool = redis.asyncio.BlockingConnectionPool.from_url(url, retry=retry, retry_on_error=[*died], **times)
    except ValueError:  # its message may hold a part of the password
        raise SettingsError("REDIS_URL is no address of a Redis, as redis://localhost:6379 is.") from None
    app_config.on_shutdown.append(pool.aclose)
    options: dict[str, Any] = {"connection_pool": pool, "implementation": "redispy", "key_prefix": "openai-api:rate"}
    return RedisStorage("async+redis://", wrap_exceptions=True, **options)  # its types do not know `connection_pool`
