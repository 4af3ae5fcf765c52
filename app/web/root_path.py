"""The root path: where a proxy serves the application, in place of `/`."""

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.response.redirect import ASGIRedirectResponse
from litestar.types import Receive, Scope, Send


def with_root_path(app: Litestar, root: str) -> Litestar:
    """Serve an application below a path, whether or not the proxy leaves that path in its requests.

    ASGI wants it in `path` and `root_path`, and Litestar finds the routes by what follows.
    """
    if not root:
        return app
    handle = app.asgi_handler

    async def handle_below(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))  # which a server's own option may have set
        if path == root and scope["type"] == ScopeType.HTTP:  # the relative addresses in the page need the slash
            await ASGIRedirectResponse(f"{root}/")(scope, receive, send)
            return
        scope["root_path"] = root
        scope["path"] = path if path.startswith(f"{root}/") else root + path
        await handle(scope, receive, send)

    app.asgi_handler = handle_below
    return app
