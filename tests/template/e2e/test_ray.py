"""The application as a deployment of Ray Serve: what a client sees is what it sees without."""

import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import httpx
import pytest
from openai import NotFoundError, OpenAI

from tests.template.e2e.clients import client_of, says
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.server import SERVING, Server

pytestmark = pytest.mark.skipif(not find_spec("ray"), reason="needs the extra `ray`: uv run --extra ray pytest")

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would ask the network
    "RAY_AUTH_MODE": "disabled",  # it would write into the home directory
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # it would install everything once more
}


class Cluster(Server):
    """A small Ray with one replica."""

    patience = 120.0  # of the half minute that it takes, most is Ray's

    def _command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "tests.template.e2e.clustering", str(self.port)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A cluster for all tests; the last one ends it."""
    log = tmp_path_factory.mktemp("cluster") / "log"
    with Cluster(log, app=SERVING, settings=ENVIRONMENT) as running:
        yield running


@pytest.fixture(scope="module")
def client(cluster: Server) -> Iterator[OpenAI]:
    """OpenAI's client of it."""
    with client_of(cluster) as client:
        yield client


@pytest.mark.parametrize("model", ["gated-async-generator", "gated-generator"])
def test_a_chunk_arrives_before_the_next_is_made(cluster: Server, client: OpenAI, key: str, model: str) -> None:
    stream = client.chat.completions.create(model=model, messages=says(key), stream=True)
    before = [next(stream).choices[0].delta.content for _ in range(2)]
    cluster.open_gate(key)
    after = [chunk.choices[0].delta.content for chunk in stream]

    assert (before, after) == (["", "first"], [" second", None])


@pytest.mark.parametrize("model", ["endless-async-generator", "endless-generator"])
def test_a_generator_is_closed_when_its_client_leaves(cluster: Server, client: OpenAI, key: str, model: str) -> None:
    with client.chat.completions.create(model=model, messages=says(key), stream=True) as stream:
        assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "more "]

    assert cluster.wait_for(key, "closed") == ["started", "closed"]


def test_a_function_is_cancelled_when_the_client_leaves_that_waits_for_it(cluster: Server, key: str) -> None:
    with Connection(cluster.port) as connection:
        connection.post(chat("gated-async-function", key))
        cluster.wait_for(key, "started")

    assert cluster.wait_for(key, "closed") == ["started", "closed"]


def test_an_error_is_openais(client: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="'nope' does not exist") as caught:
        client.chat.completions.create(model="nope", messages=says("Hello!"))

    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_an_answer_has_the_id_of_its_request_once(cluster: Server) -> None:
    response = httpx.get(f"{cluster.url}/v1/models", headers={"x-request-id": "mine"})

    assert response.headers.get_list("x-request-id") == ["mine"]


def test_a_replica_that_goes_lets_its_streams_finish(cluster: Server, client: OpenAI) -> None:
    stream = client.chat.completions.create(model="brief", messages=says("Hello!"), stream=True)
    next(stream)

    cluster.send(signal.SIGTERM)

    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text.split() == [str(number) for number in range(50)]
    assert cluster.wait() == 0
