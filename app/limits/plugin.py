"""Litestar plugin that adds the limits which the settings enable."""

from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin

from app.limits.hosts import AllowedHosts
from app.limits.rates import RATE_LIMIT_HEADERS, RateLimits, counter_for
from app.settings import Settings


class LimitsPlugin(InitPlugin):
    """Checks the host (`ALLOWED_HOSTS`) before the API key, and the rate (`REQUESTS_PER_MINUTE`) after it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the middleware.

        Raises:
            SettingsError: `REDIS_URL` cannot be used.
        """
        settings = self._settings
        if settings.allowed_hosts and "*" not in settings.allowed_hosts:
            app_config.middleware.insert(0, AllowedHosts(settings.allowed_hosts))
        if settings.requests_per_minute:
            counter = counter_for(settings.requests_per_minute, settings.redis_url)
            app_config.middleware.append(RateLimits(settings.requests_per_minute, counter))
            if app_config.cors_config is not None:
                app_config.cors_config.expose_headers.extend(RATE_LIMIT_HEADERS)
        return app_config
