"""What the routes have beside what their handlers declare: HEAD, and one place each in the OpenAPI document."""

from copy import copy

from litestar.handlers import HTTPRouteHandler
from litestar.plugins import ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute


class RoutesPlugin(ReceiveRoutePlugin):
    """Litestar plugin that answers HEAD on each route as it answers GET; servers leave the body out by themselves.

    The OpenAPI document, whose own plugin comes later, says nothing of that, nor of a path that is served under `/v1`
    too.
    """

    def receive_route(self, route: BaseRoute) -> None:
        """Add the method, and hide the handlers of an alias.

        Litestar's handler of OPTIONS lists the methods of the first handler at a path alone.
        """
        if not isinstance(route, HTTPRoute):
            return
        handlers = route.route_handler_map
        for method, (handler, parameters) in handlers.items():
            if any(path[3:] in handler.paths and _is_alias(route.path, path) for path in handler.paths):
                handlers[method] = (_hidden(handler), parameters)
        if "GET" in handlers:
            handler, parameters = handlers["GET"]
            handlers.setdefault("HEAD", (_hidden(handler), parameters))
            route.methods.add("HEAD")
        options, _ = handlers["OPTIONS"]
        if options.fn.__module__ == HTTPRoute.__module__:  # not one of the application's own
            options(route.create_options_handler(route.path).fn)


def _is_alias(path: str, other: str) -> bool:
    """Return whether a path is another one that begins with `/v1`, without that."""
    return other.startswith("/v1/") and path.endswith(other[3:]) and other not in path


def _hidden(handler: HTTPRouteHandler) -> HTTPRouteHandler:
    """Return the same handler, of which the OpenAPI document says nothing."""
    other = copy(handler)
    other._resolved_include_in_schema = False  # there is no public way, once it is registered
    return other
