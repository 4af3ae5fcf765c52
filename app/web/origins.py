"""Which pages may use the server from a browser, by the headers `origin` and `host`; a malformed host is refused."""

import re
from functools import lru_cache
from ipaddress import IPv6Address

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from app.errors import InvalidRequestError, clipped
from app.settings import HOST, Settings
from app.web.errors import respond_with_error

HEADERS = frozenset({b"host", b"origin", b"sec-fetch-site"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PORTS = {"http": 80, "https": 443}
MAX_PORT = 65535
_ADDRESS = re.compile(rf"({HOST})(?::([0-9]{{0,5}}))?")


def cors_config(settings: Settings) -> CORSConfig | None:
    """Return the CORS configuration, if the settings allow any origin."""
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        allow_headers=["*"],  # OpenAI's client sends a dozen headers of its own
        expose_headers=["x-request-id", "retry-after"],
    )


def with_origin_check(app: Litestar) -> Litestar:
    """Refuse requests with a malformed host, and those of other sites' pages that could run something.

    CORS alone only keeps a page from reading the answer. This wraps the application itself, because Litestar answers
    unknown paths before any middleware.
    """
    handle = app.asgi_handler

    async def check_and_handle(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == ScopeType.HTTP:
                _check(scope, app.cors_config)
        except InvalidRequestError as error:
            request = app.request_class(scope, receive, send)
            response = respond_with_error(request, error).to_asgi_response(app=None, request=request)
            await response(scope, receive, send)
            return
        await handle(scope, receive, send)

    app.asgi_handler = check_and_handle
    return app


def _check(scope: Scope, cors: CORSConfig | None) -> None:
    found = [(name, value.decode("latin-1")) for name, value in scope["headers"] if name in HEADERS]
    hosts = [value for name, value in found if name == b"host"]
    if len(hosts) > 1 or (hosts and address_of(hosts[0]) is None):
        raise InvalidRequestError("The header 'host' must be the name of one host, with its port or without.")
    if scope.get("method") in SAFE_METHODS or len(found) == len(hosts):
        return
    origins = [value for name, value in found if name == b"origin"]
    if (b"sec-fetch-site", "same-origin") in found:  # says the browser, whatever a proxy has made of the host
        return
    if cors and origins and all(map(cors.is_origin_allowed, origins)):
        return
    if (b"sec-fetch-site", "cross-site") in found or not all(_is_own(origin, hosts) for origin in origins):
        page = f"A page of '{clipped(origins[0])}'" if origins else "A page of another site"
        hint = "If it is this server's own page, its proxy must pass on the header 'host'."
        message = f"{page} may not use this server, unless CORS_ORIGINS allows its origin. {hint}"
        raise InvalidRequestError(message, status=403)


def _is_own(origin: str, hosts: list[str]) -> bool:
    """Return whether an origin has the host and the port of the request; a proxy may have changed the scheme."""
    scheme, _, address = origin.partition("://")
    port = PORTS.get(scheme)
    return port is not None and [address_of(address, port)] == [address_of(host, port) for host in hosts]


@lru_cache(maxsize=128)
def address_of(host: str, port: int = 0) -> tuple[str, int] | None:
    """Return the name, in lower case, and the port, by default this one; None if the host is malformed."""
    match = _ADDRESS.fullmatch(host)
    if match is None or int(match[2] or port) > MAX_PORT:
        return None
    if host.startswith("["):
        try:
            IPv6Address(match[1][1:-1])
        except ValueError:
            return None
    return match[1].lower(), int(match[2] or port)
