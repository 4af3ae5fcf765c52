"""API-key authentication, and which origins may use the server from a browser."""

from typing import Any

from litestar.config.app import AppConfig
from litestar.config.cors import CORSConfig
from litestar.connection import ASGIConnection
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult, DefineMiddleware
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins import InitPlugin
from litestar.types import ASGIApp

from app.errors import AuthenticationError
from app.keys import Keys
from app.settings import Settings

PUBLIC = "exclude_from_auth"  # option of a route handler, controller or router that needs no API key


class KeysPlugin(InitPlugin):
    """Litestar plugin that adds the authentication if the settings have API keys."""

    def __init__(self, settings: Settings) -> None:
        self._keys = settings.keys

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the middleware, and describe it in the OpenAPI document."""
        if self._keys:
            app_config.middleware.append(DefineMiddleware(Authentication, keys=self._keys))
            if app_config.openapi_config is not None:
                scheme = SecurityScheme(type="http", scheme="bearer")
                app_config.openapi_config.components = Components(security_schemes={"key": scheme})
                app_config.openapi_config.security = [{"key": []}]
        return app_config


class Authentication(AbstractAuthenticationMiddleware):
    """Requires an API key on every route whose `opt` does not say `{"exclude_from_auth": True}`.

    An id of the caller's key is then `request.user`: the same on each server, and not the key itself.
    """

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        super().__init__(app, exclude_from_auth_key=PUBLIC, exclude_http_methods=())
        self._keys = keys

    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        """Return the caller, by the header `authorization: Bearer KEY`.

        Raises:
            AuthenticationError: There is no such header, or more than one, or its key is unknown.
        """
        sent = [value for name, value in connection.scope["headers"] if name == b"authorization"]
        if len(sent) != 1:
            raise AuthenticationError("Send your API key, once, in the header 'authorization: Bearer YOUR_KEY'.")
        scheme, _, key = sent[0].partition(b" ")
        owner = self._keys.owner_of(key.strip()) if scheme.lower() == b"bearer" else None
        if owner is None:
            raise AuthenticationError(
                "The API key is incorrect. Send one of this server's in the header 'authorization: Bearer YOUR_KEY'."
            )
        return AuthenticationResult(user=owner, auth=None)


def cors_config(settings: Settings) -> CORSConfig | None:
    """Return the CORS configuration, if the settings allow any origin."""
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        allow_headers=["*"],  # OpenAI's client sends a dozen headers of its own
        expose_headers=["x-request-id", "retry-after"],
    )
