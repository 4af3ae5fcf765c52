"""What the application has beside its models. This file is yours: `docs/extending.md` has an example of each.

`litestar run`, `just dev`, the image and the tests of your models serve the application with all of it. An
application with a registry of its own, `create_app(pipelines=…)`, has none of it.
"""

from litestar.di import Provide
from litestar.plugins import PluginProtocol
from litestar.types import ControllerRouterHandler, Middleware

from app.engine.observers import Observer
from app.web.precedence import Lifespan

dependencies: dict[str, Provide] = {}  # services and hooks
route_handlers: list[ControllerRouterHandler] = []
middleware: list[Middleware] = []
plugins: list[PluginProtocol] = []
lifespan: list[Lifespan] = []
observers: list[Observer] = []
