"""The playground: a page at `/` to chat with the models, and the files it loads from `/static`."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.config.app import AppConfig
from litestar.params import FromPath
from litestar.plugins import InitPlugin

from app.errors import InvalidRequestError
from app.settings import Settings
from app.web.authentication import PUBLIC
from app.web.logs import QUIET

FOLDER = Path(__file__).parent / "static"
MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES = {f"/{file.relative_to(FOLDER).as_posix()}": file for file in FOLDER.rglob("*.*") if file.suffix in MEDIA_TYPES}
FILES["/"] = FILES.pop("/playground.html")  # only at `/`, as the addresses in it are relative
HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dompurify",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class PlaygroundPlugin(InitPlugin):
    """Litestar plugin that adds the playground if the settings enable it."""

    def __init__(self, settings: Settings) -> None:
        self._enabled = settings.playground

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the route handler."""
        if self._enabled:
            app_config.route_handlers.append(playground)
        return app_config


@get(
    ["/", "/static/{name:path}"],
    include_in_schema=False,
    opt={QUIET: True, PUBLIC: True},  # public: the user enters the API key on the page
    response_headers=HEADERS,
    sync_to_thread=False,
)
def playground(request: Request[Any, Any, Any], name: FromPath[str] = "/") -> Response[bytes]:
    """Send the page or one of its files, or 304, which Litestar's own static files do not know."""
    if name not in FILES:
        raise InvalidRequestError(f"There is no file {name!r} here.", status=404)
    content = FILES[name].read_bytes()
    etag = f'"{sha256(content).hexdigest()[:16]}"'
    if request.headers.get("if-none-match") == etag:
        return Response(b"", status_code=304, headers={"etag": etag})
    return Response(content, media_type=MEDIA_TYPES[FILES[name].suffix], headers={"etag": etag})
