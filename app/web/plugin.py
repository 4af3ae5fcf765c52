"""What a request passes before its handler: only what the settings ask for, and nothing unless they do."""

from litestar.config.app import AppConfig
from litestar.config.cors import CORSConfig
from litestar.middleware import DefineMiddleware
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins import InitPlugin

from app.limits.buckets import Buckets, MemoryBuckets, Rate
from app.limits.hosts import AllowedHosts
from app.limits.rates import RATE_LIMIT_HEADERS, RateLimits
from app.limits.shared import shared_buckets
from app.settings import Settings
from app.web.authentication import Authentication

__all__ = ["Admission"]


class Admission(InitPlugin):
    """Lets in by host, by key and by rate, in this order, and browsers by origin.

    Args:
        settings: who and how much.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the middleware.

        Raises:
            SettingsError: a setting cannot be used.
        """
        settings = self._settings
        if settings.cors_origins:
            app_config.cors_config = _cors(settings)
        if settings.allowed_hosts and "*" not in settings.allowed_hosts:
            app_config.middleware.append(AllowedHosts(settings.allowed_hosts))
        if settings.keys:
            app_config.middleware.append(DefineMiddleware(Authentication, keys=settings.keys))
            _document_keys(app_config)
        if settings.requests_per_minute:
            rate = Rate(settings.requests_per_minute)
            buckets = _buckets(rate, settings)
            app_config.middleware.append(RateLimits(rate, buckets))
            app_config.on_shutdown.append(buckets.close)
        return app_config


def _cors(settings: Settings) -> CORSConfig:
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        allow_headers=["*"],  # OpenAI's client sends a dozen of its own
        expose_headers=["x-request-id", "retry-after", *RATE_LIMIT_HEADERS],
    )


def _document_keys(app_config: AppConfig) -> None:
    if app_config.openapi_config is not None:
        app_config.openapi_config.components = Components(
            security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}
        )
        app_config.openapi_config.security = [{"key": []}]


def _buckets(rate: Rate, settings: Settings) -> Buckets:
    if settings.redis_url:
        return shared_buckets(rate, settings.redis_url)
    return MemoryBuckets(rate)
