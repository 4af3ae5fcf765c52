"""Pack `ray`: a client of a deployment on Ray Serve sees what it sees without Ray."""

import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import httpx
import pytest
from litestar import Litestar, get
from openai import NotFoundError, OpenAI

from app import extensions
from tests.template.e2e.connection import says
from tests.template.e2e.server import SERVING, Server

pytestmark = pytest.mark.skipif(not find_spec("ray"), reason="needs the extra `ray`: uv run --extra ray pytest")

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would ask the network
    "RAY_AUTH_MODE": "disabled",  # it would write into the home directory
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # it would install everything once more
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # as the machine may be busy
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
}


class Cluster(Server):
    """A small Ray with one replica."""

    patience = 600.0  # of the time that it takes to start, most is Ray's
    started = "It serves.\n"

    def _command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "tests.template.packs.ray_cluster", str(self.port)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A cluster for all tests; the last one ends it."""
    log = tmp_path_factory.mktemp("cluster") / "log"
    with Cluster(log, app=SERVING, **ENVIRONMENT) as running:
        yield running


@pytest.fixture(scope="module")
def client(cluster: Server) -> Iterator[OpenAI]:
    with cluster.openai() as client:
        yield client


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # which importing Ray raises
def test_a_deployment_scales_by_its_arguments_and_leaves_replicas_room_to_refuse_and_time_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from app.ray import build

    monkeypatch.setenv("MAX_CONCURRENT_COMPLETIONS", "10")
    monkeypatch.setenv("SHUTDOWN_GRACE", "60")
    deployed = build({"min_replicas": "2", "max_replicas": "8"})._bound_deployment
    config = deployed._deployment_config

    scaling = config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 8, 50)
    assert deployed.max_ongoing_requests > 10
    assert config.graceful_shutdown_timeout_s == 65


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # which importing Ray raises
def test_a_replica_serves_what_extends_the_application_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    from app import ray

    @get("/about")
    async def about() -> None:
        """Say nothing."""

    created: list[Litestar] = []
    monkeypatch.setattr(ray, "deployment", lambda create, settings, scaling: created.append(create()))
    monkeypatch.setattr(extensions, "route_handlers", [about])
    ray.build({})
    assert "/about" in created[0].route_handler_method_map


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_host_and_the_port_are_arguments_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.serve.config import HTTPOptions

    from app.ray import build

    started: list[object] = []
    monkeypatch.setattr("ray.serve.start", lambda **options: started.append(HTTPOptions(**options["http_options"])))
    build({"max_replicas": "2"})
    assert not started
    deployed = build({"max_replicas": "2", "port": "9000", "host": "::"})._bound_deployment

    assert deployed._deployment_config.autoscaling_config.max_replicas == 2
    assert started == [HTTPOptions(host="::", port=9000)]


def test_a_chunk_arrives_before_the_next_is_made(cluster: Server, client: OpenAI, key: str) -> None:
    stream = client.chat.completions.create(model="gated-async-generator", messages=says(key), stream=True)
    before = [next(stream).choices[0].delta.content for _ in range(2)]
    cluster.open_gate(key)
    after = [chunk.choices[0].delta.content for chunk in stream]

    assert (before, after) == (["", "first"], [" second", None])


@pytest.mark.parametrize(
    ("model", "stream"),
    [("endless-async-generator", True), ("endless-generator", True), ("gated-async-function", False)],
)
def test_a_model_is_stopped_when_its_client_leaves(cluster: Server, key: str, model: str, stream: bool) -> None:
    cluster.ask_and_leave(model, key, stream=stream)
    assert cluster.wait_for(key, "closed") == ["started", "closed"]


def test_an_error_is_openais_and_has_the_id_of_its_request_once(cluster: Server, client: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="'nope' does not exist") as caught:
        client.chat.completions.create(model="nope", messages=says("Hello!"))
    response = httpx.get(f"{cluster.url}/v1/models", headers={"x-request-id": "mine"})

    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert response.headers.get_list("x-request-id") == ["mine"]


def test_a_replica_that_is_stopped_lets_its_streams_finish(cluster: Server, client: OpenAI) -> None:
    stream = client.chat.completions.create(model="brief", messages=says("Hello!"), stream=True)
    next(stream)

    cluster.send(signal.SIGTERM)

    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text.split() == [str(number) for number in range(50)]
    assert cluster.wait() == 0
