"""API-key authentication."""

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.errors import AuthenticationError
from app.keys import KeyRing

PUBLIC = "exclude_from_auth"  # option of a route handler, controller or router that needs no API key


class Authentication(ASGIMiddleware):
    """Requires an API key on every route whose `opt` does not say `{"exclude_from_auth": True}`.

    An id of the caller's key is then `request.user`: the same on each server, and not the key itself.
    """

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)
    exclude_opt_key = PUBLIC

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Pass the request on, or raise AuthenticationError unless its one `authorization` header holds a key."""
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(sent) != 1:
            raise AuthenticationError("Send your API key, once, in the header 'authorization: Bearer YOUR_KEY'.")
        scheme, _, key = sent[0].partition(b" ")
        owner = self._keys.owner_of(key.strip()) if scheme.lower() == b"bearer" else None
        if owner is None:
            raise AuthenticationError(
                "The API key is incorrect. Send one of this server's in the header 'authorization: Bearer YOUR_KEY'."
            )
        scope["user"], scope["auth"] = owner, None
        await next_app(scope, receive, send)
