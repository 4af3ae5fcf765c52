"""The pages that people read: the playground at `/`, and the documentation at `/schema`.

They are the files of `controllers/static/` as they stand there: no build, and nothing from another host.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

from litestar import Controller, Request, Response, get
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.params import FromPath
from litestar.status_codes import HTTP_304_NOT_MODIFIED
from msgspec import Struct

from app.errors import InvalidRequestError
from app.settings import Settings
from app.web.authentication import OPEN
from app.web.logs import QUIET

__all__ = ["SECURITY_HEADERS", "DocumentationPage", "Pages", "PlaygroundController", "StaticController", "read_pages"]

FOLDER = Path(__file__).parent / "static"
MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
OPTIONS = {QUIET: True, OPEN: True}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
SECURITY_HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Page(Struct, frozen=True):
    """A file as it goes out, and what it is known by."""

    content: bytes
    media_type: str
    etag: str


Pages: TypeAlias = Mapping[str, Page]  # by the names of their files


def read_pages(settings: Settings) -> Pages:
    """The files of the pages, with links to what the settings allow for."""
    return {path.name: _page(_linked(path.read_bytes(), settings), path.suffix) for path in FOLDER.iterdir()}


class PlaygroundController(Controller):
    """The page that asks the models: open, as the key that it then needs is given in it."""

    opt = OPTIONS
    include_in_schema = False

    @get("/")
    async def playground(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """The page itself."""
        return _respond(request, "playground.html")


class StaticController(Controller):
    """What the pages are made of: open, as it is the same for everybody."""

    path = "/static"
    opt = OPTIONS
    include_in_schema = False

    @get("/{name:str}")
    async def file(self, request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
        """One of the files."""
        return _respond(request, name)


class DocumentationPage(OpenAPIRenderPlugin):
    """Renders the OpenAPI document by our own page, as Litestar's load their code from other hosts."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page, which then asks for the document."""
        pages: Pages = request.app.state.pages
        return pages["schema.html"].content


def _respond(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
    """The file, unless the client has it already."""
    pages: Pages = request.app.state.pages
    if name not in pages:
        raise InvalidRequestError(f"There is no file {name!r} here.", status=404)
    page = pages[name]
    # Kept, but asked for each time whether it is still the same.
    headers = {**SECURITY_HEADERS, "cache-control": "no-cache", "etag": page.etag}
    if request.headers.get("if-none-match") == page.etag:
        return Response(b"", status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(page.content, media_type=page.media_type, headers=headers)


def _page(content: bytes, suffix: str) -> Page:
    return Page(content, MEDIA_TYPES[suffix], f'"{sha256(content).hexdigest()[:16]}"')


def _linked(content: bytes, settings: Settings) -> bytes:
    """The links as they lead somewhere."""
    if not settings.playground:
        content = content.replace(b'<a href="/">Playground</a>', b"")
    if settings.metrics:
        content = content.replace(b"</nav>", b'<a href="/metrics">Metrics</a></nav>')
    if settings.keys and not settings.public_docs:  # no browser sends a key of itself: this page asks for one
        content = content.replace(b'href="/schema"', b'href="/static/schema.html"')
    return content
