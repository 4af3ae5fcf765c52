"""Figures for Prometheus. They belong to the process, so that a test looks at what it has added to them."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from litestar import get
from litestar.exceptions import NotAuthorizedException
from litestar.testing import TestClient
from litestar.types import ASGIApp, Receive, Scope, Send
from prometheus_client.parser import text_string_to_metric_families

from app.app import create_app
from app.registry import Pipelines
from app.services import Body, Messages
from app.settings import Settings
from schemas.chat import Usage
from tests.conftest import Client

Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def model(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Usage]:
    yield "Hello"
    if messages[0]["content"] == "fail":
        raise ValueError("at fault")
    yield Usage(prompt_tokens=3, completion_tokens=2)


@pytest.fixture
def name() -> str:
    """A model that no other test has asked."""
    return uuid4().hex


@pytest.fixture
def client(name: str) -> Iterator[Client]:
    pipelines = Pipelines()
    pipelines.add(name, model)
    app = create_app(settings=Settings(metrics=True), pipelines=pipelines)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def ask(client: Client, model: str, content: str = "Hello!", **fields: Any) -> None:
    client.post(
        "/v1/chat/completions",
        json={"model": model, "messages": [{"role": "user", "content": content}], **fields},
    )


def figures(client: Client) -> Figures:
    """All samples, by their names and labels."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def of(client: Client, name: str, **labels: str) -> float:
    """A figure; 0 as long as nobody has counted."""
    return figures(client).get((name, tuple(sorted(labels.items()))), 0)


def test_a_stream_is_measured(client: Client, name: str) -> None:
    ask(client, name, stream=True)

    assert of(client, "completions_total", model=name, ended="done") == 1
    assert of(client, "completions_in_flight", model=name) == 0
    assert of(client, "completion_chunks_total", model=name) == 3
    assert of(client, "completion_first_chunk_seconds_count", model=name) == 1
    assert of(client, "completion_tokens_total", model=name, kind="prompt") == 3
    assert of(client, "completion_tokens_total", model=name, kind="completion") == 2


def test_an_answer_that_is_no_stream_has_no_first_chunk(client: Client, name: str) -> None:
    ask(client, name)

    assert of(client, "completions_total", model=name, ended="done") == 1
    assert of(client, "completion_first_chunk_seconds_count", model=name) == 0
    assert of(client, "completion_tokens_total", model=name, kind="completion") == 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_is_counted(client: Client, name: str, stream: bool) -> None:
    ask(client, name, "fail", stream=stream)

    assert of(client, "completions_total", model=name, ended="error") == 1
    assert of(client, "completions_in_flight", model=name) == 0


def test_models_that_are_not_listed_are_one(client: Client) -> None:
    before = of(client, "completions_total", model="unknown", ended="rejected")

    for number in range(10):
        ask(client, f"made-up-{number}")

    assert of(client, "completions_total", model="unknown", ended="rejected") == before + 10
    assert not [labels for _, labels in figures(client) if "made-up" in str(labels)]


def test_requests_are_counted_by_route(client: Client) -> None:
    labels = {"app_name": "litestar", "method": "GET", "path": "/v1/models/{model_id}", "status_code": "404"}
    before = of(client, "http_requests_total", **labels)

    for number in range(3):
        client.get(f"/v1/models/made-up-{number}")

    assert of(client, "http_requests_total", **labels) == before + 3


def test_a_request_that_a_middleware_refuses_is_counted_as_refused(name: str) -> None:
    def refusing(app: ASGIApp) -> ASGIApp:
        async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
            raise NotAuthorizedException("Who are you?")

        return refuse

    @get(f"/{name}", middleware=[refusing])
    async def mine() -> None:
        """Never."""

    app = create_app(settings=Settings(metrics=True))
    app.register(mine)
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get(f"/{name}").status_code == 401

        labels = {"app_name": "litestar", "method": "GET", "path": f"/{name}"}
        assert of(client, "http_requests_total", **labels, status_code="401") == 1
        assert of(client, "http_requests_total", **labels, status_code="200") == 0


def test_asking_for_the_figures_and_the_health_is_not_counted(client: Client) -> None:
    client.get("/health")
    client.get("/ready")

    assert not [
        labels for _, labels in figures(client) if set(dict(labels).values()) & {"/metrics", "/health", "/ready"}
    ]


def test_two_applications_count_together(client: Client, name: str) -> None:
    ask(client, name)

    with TestClient(create_app(settings=Settings(metrics=True))) as other:
        assert of(other, "completions_total", model=name, ended="done") == 1


def test_there_are_no_figures_unless_asked_for() -> None:
    with TestClient(create_app(settings=Settings())) as client:
        assert client.get("/metrics").status_code == 404
