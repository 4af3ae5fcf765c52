"""Deployment on Ray Serve: the application as replicas on one machine or several."""

from collections.abc import Callable, Mapping

from litestar import Litestar
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from ray import serve

from app.app import create_app
from app.settings import Settings

SCALING = {"max_replicas": 4, "target_ongoing_requests": 50}
SPARE_REQUESTS = 100  # a full replica still lists its models, and refuses completions with OpenAI's error object
CLOSING_TIME = 5.0  # seconds after SHUTDOWN_GRACE until Ray kills a replica


def build(arguments: dict[str, str]) -> serve.Application:
    """Return the project's application for `serve run app.ray:build`.

    Args:
        arguments: Those of the command: `host` and `port`, and options of Ray's `AutoscalingConfig`, as `max_replicas`.
    """
    http = {name: value for name, value in arguments.items() if name in ("host", "port")}
    scaling = {name: value for name, value in arguments.items() if name not in http}
    if http:  # the command has no options for them, and goes on with what is started here
        serve.start(proxy_location="EveryNode", http_options=http)
    settings = Settings.load()  # here, because replicas on other machines have neither this environment nor this `.env`
    return deployment(lambda: create_app(settings=settings), settings, scaling)


def deployment(create: Callable[[], Litestar], settings: Settings, scaling: Mapping[str, object]) -> serve.Application:
    """Return an application as a deployment of Ray Serve.

    Args:
        create: Creates the application, in each replica.
        settings: The settings of the application, which limit its requests and the time it takes to stop.
        scaling: Options of Ray's `AutoscalingConfig`.
    """

    def create_for_ray() -> ASGIApp:
        return _without_request_id(create())

    deploy = serve.deployment(
        name="openai",
        max_ongoing_requests=settings.max_concurrent_completions + SPARE_REQUESTS,
        graceful_shutdown_timeout_s=settings.shutdown_grace + CLOSING_TIME,
        autoscaling_config={**SCALING, **scaling},
    )
    return deploy(serve.ingress(create_for_ray)(_Replica)).bind()


class _Replica:
    async def check_health(self) -> None:
        """Return as long as the event loop runs: Ray replaces a replica whose check times out."""


def _without_request_id(app: ASGIApp) -> ASGIApp:
    """Return the application without the header `x-request-id`: Ray's proxy adds it, with the same id."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [header for header in message["headers"] if header[0] != b"x-request-id"]
            await send(message)

        await app(scope, receive, send_without_id)

    return handle
