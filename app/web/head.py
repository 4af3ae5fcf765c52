"""HEAD requests, and which methods OPTIONS lists."""

from copy import copy

from litestar.handlers import HTTPRouteHandler
from litestar.plugins import ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute


class HeadPlugin(ReceiveRoutePlugin):
    """Litestar plugin that answers HEAD on each route as it answers GET; servers leave the body out by themselves."""

    def receive_route(self, route: BaseRoute) -> None:
        """Add the method, of which the OpenAPI document says nothing.

        Litestar's handler of OPTIONS lists the methods of the first handler at a path alone.
        """
        if not isinstance(route, HTTPRoute):
            return
        if "GET" in route.route_handler_map:
            handler, parameters = route.route_handler_map["GET"]
            route.route_handler_map.setdefault("HEAD", (hidden(handler), parameters))
            route.methods.add("HEAD")
        options, _ = route.route_handler_map["OPTIONS"]
        if options.fn.__module__ == HTTPRoute.__module__:  # not one of the application's own
            options(route.create_options_handler(route.path).fn)


def hidden(handler: HTTPRouteHandler) -> HTTPRouteHandler:
    """Return the same handler, of which the OpenAPI document says nothing."""
    other = copy(handler)
    other._resolved_include_in_schema = False  # there is no public way, once it is registered
    return other
