"""The place of a project's middleware and controllers among those of this application."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin
from litestar.types import Middleware

Lifespan: TypeAlias = Callable[[Litestar], AbstractAsyncContextManager[Any]] | AbstractAsyncContextManager[Any]


class PrecedencePlugin(InitPlugin):
    """Litestar plugin, the last one: adds middleware after all other, and lets controllers replace their base classes.

    The middleware then gets the requests which keys and limits let pass.
    """

    def __init__(self, middleware: Sequence[Middleware]) -> None:
        self._middleware = middleware

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the middleware; remove the controllers that have a subclass at the same path."""
        app_config.middleware.extend(self._middleware)
        handlers = app_config.route_handlers
        controllers = [handler for handler in handlers if isinstance(handler, type)]
        app_config.route_handlers = [
            handler for handler in handlers if not any(_replaces(controller, handler) for controller in controllers)
        ]
        return app_config


def _replaces(controller: type, other: object) -> bool:
    is_base = isinstance(other, type) and other in controller.__mro__[1:]
    return is_base and _path_of(controller) == _path_of(other)


def _path_of(controller: object) -> str:
    path = getattr(controller, "path", "")
    return path.strip("/") if isinstance(path, str) else ""  # a class that has none inherits Litestar's descriptor
