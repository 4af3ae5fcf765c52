"""Where the middleware and the controllers of a project go among those of this application."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin
from litestar.types import Middleware

Lifespan: TypeAlias = Callable[[Litestar], AbstractAsyncContextManager[Any]] | AbstractAsyncContextManager[Any]


class ExtensionsPlugin(InitPlugin):
    """Litestar plugin, the last one: adds a project's middleware, and lets its controllers replace their base classes.

    Args:
        middleware: Added after all other, so that it sees requests which keys and limits let pass.
    """

    def __init__(self, middleware: Sequence[Middleware]) -> None:
        self._middleware = middleware

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the middleware; remove the controllers that have a subclass at the same path."""
        app_config.middleware.extend(self._middleware)
        handlers = app_config.route_handlers
        app_config.route_handlers = [
            handler for handler in handlers if not any(_replaces(other, handler) for other in handlers)
        ]
        return app_config


def _replaces(handler: object, other: object) -> bool:
    if not isinstance(handler, type) or not isinstance(other, type) or handler is other:
        return False
    return issubclass(handler, other) and _path_of(handler) == _path_of(other)


def _path_of(controller: type) -> str:
    path = getattr(controller, "path", "")
    return path.strip("/") if isinstance(path, str) else ""  # a class that has none inherits Litestar's descriptor
