"""Which host names the server answers to: a page that points a name of its own at this server is refused.

Litestar's own middleware takes the port for a part of the name, and its answer passes no exception handler.
"""

import re
from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.errors import InvalidRequestError
from app.web.authentication import OPEN

__all__ = ["AllowedHosts"]

_NAME = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]+?)\.?(?::\d*)?")


class AllowedHosts(ASGIMiddleware):
    """Refuses requests to any other host. A route that needs no key, as a probe asks for, answers to all.

    Args:
        hosts: names, on whatever port; `*.example.com` is all that ends so, but not `example.com`.
    """

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)
    exclude_opt_key = OPEN

    def __init__(self, hosts: Iterable[str]) -> None:
        names = [host.lower() for host in hosts]
        self._names = frozenset(names)
        self._endings = tuple(name.removeprefix("*") for name in names if name.startswith("*."))

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Let the request pass, if it is for one of the hosts.

        Raises:
            InvalidRequestError: it is not.
        """
        sent = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
        if len(sent) != 1 or not self._allows(sent[0]):
            raise InvalidRequestError("This server does not answer to the name in the header 'host'.")
        await next_app(scope, receive, send)

    def _allows(self, host: str) -> bool:
        found = _NAME.fullmatch(host)
        return found is not None and (found[1] in self._names or found[1].endswith(self._endings))
