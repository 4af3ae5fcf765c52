"""Who may enter: whoever shows one of the server's keys."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import ASGIApp

from app.errors import AuthenticationError
from app.keys import Keys

__all__ = ["OPEN", "Authentication"]

OPEN = "exclude_from_auth"  # in the `opt` of a route handler, a controller or a router


class Authentication(AbstractAuthenticationMiddleware):
    """Closes every route, but those whose `opt` says `{"exclude_from_auth": True}`.

    The id of the caller's key is then `request.user`: the same on each server, and no way back to the key.
    """

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        super().__init__(app, exclude_from_auth_key=OPEN, exclude_http_methods=())
        self._keys = keys

    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        """The caller, by the header `authorization: Bearer KEY`.

        Raises:
            AuthenticationError: there is no such header, or more than one, or its key is not known.
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
