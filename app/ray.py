"""The same application as replicas on one machine or many: a deployment of Ray Serve, which `just ray` starts."""

from collections.abc import Callable, Mapping

from litestar import Litestar
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from ray import serve

from app.app import create_app
from app.settings import Settings

__all__ = ["build", "deployment"]

SCALING = {"max_replicas": 4, "target_ongoing_requests": 50}
SPARE_REQUESTS = 100  # a full replica still lists its models, and refuses completions in OpenAI's form
CLOSING_TIME = 5.0  # seconds after the grace until Ray ends a replica, whatever it does


class Replica:
    """What Ray asks of a replica beside requests."""

    async def check_health(self) -> None:
        """Answer, as long as the event loop does: Ray replaces a replica that does not."""


def build(scaling: dict[str, str]) -> serve.Application:
    """The project's own application: what `serve run app.ray:build` deploys.

    Args:
        scaling: the arguments of the command: options of Ray's `AutoscalingConfig`, e.g. `max_replicas=8`.
    """
    settings = Settings.load()  # once, for the replicas on all machines
    return deployment(lambda: create_app(settings=settings), settings, scaling)


def deployment(create: Callable[[], Litestar], settings: Settings, scaling: Mapping[str, object]) -> serve.Application:
    """An application as a deployment.

    Args:
        create: makes it, in each replica.
        settings: those that Ray has to fit.
        scaling: when replicas come and go.
    """

    def create_for_ray() -> ASGIApp:
        return _without_request_id(create())

    deployed = serve.deployment(
        name="openai",
        max_ongoing_requests=settings.max_concurrent_completions + SPARE_REQUESTS,
        graceful_shutdown_timeout_s=settings.shutdown_grace + CLOSING_TIME,
        autoscaling_config={**SCALING, **scaling},
    )
    return deployed(serve.ingress(create_for_ray)(Replica)).bind()


def _without_request_id(app: ASGIApp) -> ASGIApp:
    """The application without one header of its answers: Ray's proxy adds it, with the same id."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [header for header in message["headers"] if header[0] != b"x-request-id"]
            await send(message)

        await app(scope, receive, send_on)

    return answer
