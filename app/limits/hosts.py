"""Allowed hosts: requests for any other host name are refused, as DNS rebinding sends them.

Litestar's own middleware takes the port for a part of the name, and its answer passes no exception handler.
"""

from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.errors import InvalidRequestError
from app.web.authentication import PUBLIC
from app.web.origins import address_of


class AllowedHosts(ASGIMiddleware):
    """Refuses requests for other hosts, on any port. Public routes, which probes use, answer to any.

    `*.example.com` stands for all names that end so, but not for `example.com`.
    """

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)
    exclude_opt_key = PUBLIC

    def __init__(self, hosts: Iterable[str]) -> None:
        names = [host.lower().removesuffix(".") for host in hosts]
        self._names = frozenset(names)
        self._endings = tuple(name.removeprefix("*") for name in names if name.startswith("*."))

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Pass the request on, or raise InvalidRequestError if it is not for one of the hosts."""
        sent = [value.decode("latin-1") for header, value in scope["headers"] if header == b"host"]
        address = address_of(sent[0]) if len(sent) == 1 else None
        name = address[0].removesuffix(".") if address else ""
        if name not in self._names and not name.endswith(self._endings):
            raise InvalidRequestError("This server does not answer to the name in the header 'host'.")
        await next_app(scope, receive, send)
