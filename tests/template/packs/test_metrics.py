"""Pack `telemetry`: metrics for Prometheus. They belong to the process, so each test names its model anew."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event
from uuid import uuid4

import httpx
import pytest

pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")

from prometheus_client.parser import text_string_to_metric_families

from app.keys import Keys
from app.services import Body, Messages
from schemas.chat import Usage
from tests.conftest import PATIENCE, Serve, ask, error_of, live, until
from tests.template.e2e.connection import chat, says
from tests.template.e2e.server import SERVING, Server


async def answer(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Usage]:
    question = messages[0]["content"]
    if question == "fail":
        raise ValueError("secret")
    if question == "wait":
        await asyncio.Event().wait()
    yield "Hello"
    if question == "fail later":
        raise ValueError("secret")
    yield Usage(prompt_tokens=3, completion_tokens=2)


def figure(client: httpx.Client, name: str, **labels: str) -> float:
    """Return a metric; 0 as long as nothing was counted."""
    response = client.get("/metrics", timeout=PATIENCE).raise_for_status()
    assert response.headers["content-type"].startswith("text/plain")
    samples = [sample for family in text_string_to_metric_families(response.text) for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name and sample.labels == labels)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("question", "ended", "chunks", "tokens"),
    [
        ("Hello!", "done", 3, [3, 2]),
        ("fail", "error", 0, [0, 0]),
        ("fail later", "error", 2, [0, 0]),
        ("wait", "timeout", 0, [0, 0]),
    ],
)
def test_a_completion_is_counted_by_how_it_ended(
    serve: Serve, question: str, ended: str, chunks: int, tokens: list[int], stream: bool
) -> None:
    name = uuid4().hex
    client = serve({name: answer}, metrics=True, completion_timeout=0.1 if question == "wait" else PATIENCE)

    ask(client, question, model=name, stream=stream)

    for reason in ("done", "error", "timeout", "client_left", "rejected"):
        assert figure(client, "completions_total", model=name, ended=reason) == (reason == ended)
    assert figure(client, "completions_in_flight", model=name) == 0
    assert figure(client, "completion_chunks_total", model=name) == (chunks if stream else 0)
    assert figure(client, "completion_first_chunk_seconds_count", model=name) == (stream and chunks > 0)
    for kind, count in zip(("prompt", "completion"), tokens, strict=True):
        assert figure(client, "completion_tokens_total", model=name, kind=kind) == count


def test_a_stream_is_measured_while_it_runs_and_when_its_client_leaves() -> None:
    gate = Event()

    async def model(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        yield "first"
        await asyncio.to_thread(gate.wait, PATIENCE)
        yield "second"
        await asyncio.Event().wait()

    with live(model, metrics=True) as client, httpx.Client(base_url=str(client.base_url.join("/"))) as http:

        def seen() -> tuple[float, float, float]:
            """How many clients have left, how many completions are under way, and the seconds between their chunks."""
            return (
                figure(http, "completions_total", model="test", ended="client_left"),
                figure(http, "completions_in_flight", model="test"),
                figure(http, "completion_chunk_gap_seconds_sum", model="test"),
            )

        left, in_flight, _ = seen()
        with client.chat.completions.create(model="test", messages=says("Hello!"), stream=True) as stream:
            while next(stream).choices[0].delta.content != "first":
                pass
            *counts, seconds = seen()
            assert counts == [left, in_flight + 1]
            time.sleep(0.1)
            gate.set()
            until(seen, lambda now: now[2] >= seconds + 0.1)
        until(seen, lambda now: now[:2] == (left + 1, in_flight))


def test_models_that_are_not_listed_are_counted_as_one(serve: Serve) -> None:
    client = serve({}, metrics=True)
    before = figure(client, "completions_total", model="unknown", ended="rejected")

    for number in range(3):
        ask(client, model=f"made-up-{number}")

    assert figure(client, "completions_total", model="unknown", ended="rejected") == before + 3
    assert "made-up" not in client.get("/metrics").text


@pytest.mark.parametrize(("key", "status"), [("right", "404"), ("wrong", "401")])
def test_requests_are_counted_by_route_and_status_but_not_those_for_metrics_and_health(
    serve: Serve, key: str, status: str
) -> None:
    client = serve({}, metrics=True, api_keys=Keys.parse("right"))
    client.headers["authorization"] = "Bearer right"
    labels = {"app_name": "litestar", "method": "GET", "path": "/v1/models/{model_id}"}
    before = figure(client, "http_requests_total", **labels, status_code=status)

    for path in ("/v1/models/one", "/v1/models/two", "/health", "/ready", "/metrics"):
        client.get(path, headers={"authorization": f"Bearer {key}"})

    assert figure(client, "http_requests_total", **labels, status_code=status) == before + 2
    assert figure(client, "http_requests_total", **labels, status_code="200") == 0
    text = client.get("/metrics").text
    assert not [path for path in ("/health", "/ready", "/metrics") if f'"{path}"' in text]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer right"}, 200),
        ({"authorization": "Bearer wrong"}, 401),
        ({}, 401),
        ({"host": "localhost:abc"}, 400),
        ({"host": "localhost:abc", "authorization": "Bearer right"}, 400),
    ],
    ids=str,
)
def test_metrics_need_a_key_if_there_are_keys(serve: Serve, headers: dict[str, str], status: int) -> None:
    response = serve({}, metrics=True, api_keys=Keys.parse("right")).get("/metrics", headers=headers)
    assert response.status_code == status
    assert status == 200 or error_of(response)["type"] == "invalid_request_error"


def test_every_worker_shows_the_metrics_of_all(tmp_path: Path) -> None:
    with Server(tmp_path / "log", "--wc", "2", app=SERVING, METRICS="true") as server:
        for _ in range(10):
            body = chat("generator", "Hello!", stream=True)
            httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=PATIENCE).raise_for_status()

        def done() -> float:
            with httpx.Client(base_url=server.url) as client:  # another connection, perhaps to another worker
                assert figure(client, "completions_in_flight", model="generator") == 0
                return figure(client, "completions_total", model="generator", ended="done")

        until(done, lambda count: count == 10)
        assert [done() for _ in range(10)] == [10] * 10
