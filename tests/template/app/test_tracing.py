"""Spans of requests and completions, by OpenTelemetry's conventions."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from litestar.testing import TestClient
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from app.app import create_app
from app.registry import Pipelines
from app.services import Body, Messages
from app.settings import Settings
from schemas.chat import Usage
from tests.conftest import Client

tracer = trace.get_tracer("the user's own")


async def on_the_loop(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Usage]:
    with tracer.start_as_current_span("work"):
        await asyncio.sleep(0)
    for word in ("Hello", " there", " you"):
        yield word
        await asyncio.sleep(0)
    yield Usage(prompt_tokens=3, completion_tokens=2)


def in_a_thread(model: str, messages: Messages, body: Body) -> Iterator[str]:
    with tracer.start_as_current_span("work"):
        yield "Hello"
    if messages[0]["content"] == "fail":
        raise ValueError("secret")


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """Where the spans of this process go: a provider can be set only once."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    provider, exporter = trace.get_tracer_provider(), InMemorySpanExporter()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def client(exporter: InMemorySpanExporter) -> Iterator[Client]:
    pipelines = Pipelines()
    pipelines.add("on-the-loop", on_the_loop)
    pipelines.add("in-a-thread", in_a_thread)
    app = create_app(settings=Settings(tracing=True, owned_by="acme"), pipelines=pipelines)
    with TestClient(app, raise_server_exceptions=False) as client:
        exporter.clear()
        yield client


def ask(client: Client, model: str = "on-the-loop", content: str = "Hello!", **fields: Any) -> str:
    """Ask, and return the text of the answer."""
    body = {"model": model, "messages": [{"role": "user", "content": content}], **fields}
    return client.post("/v1/chat/completions", json=body).text


def spans(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """What was traced, by name; each name once."""
    finished = exporter.get_finished_spans()
    assert len({span.name for span in finished}) == len(finished)
    return {span.name: span for span in finished}


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


@pytest.mark.parametrize("model", ["on-the-loop", "in-a-thread"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_request_holds_a_completion_and_that_what_the_model_does(
    client: Client, exporter: InMemorySpanExporter, model: str, stream: bool
) -> None:
    ask(client, model, stream=stream)

    traced = spans(exporter)
    assert traced.keys() == {"POST /v1/chat/completions", f"chat {model}", "work"}
    request, completion = traced["POST /v1/chat/completions"], traced[f"chat {model}"]
    assert request.context is not None
    assert completion.context is not None
    assert (request.kind, completion.kind) == (SpanKind.SERVER, SpanKind.INTERNAL)
    assert parent_of(completion) == request.context.span_id
    assert parent_of(traced["work"]) == completion.context.span_id


def test_a_completion_is_described_as_the_conventions_say(client: Client, exporter: InMemorySpanExporter) -> None:
    answer = ask(client, stream=True)

    span = spans(exporter)["chat on-the-loop"]
    attributes = dict(span.attributes or {})
    seconds = attributes.pop("gen_ai.response.time_to_first_chunk")
    assert isinstance(seconds, float)
    assert 0 < seconds < 60
    assert str(attributes.pop("gen_ai.response.id")) in answer
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "acme",
        "gen_ai.request.model": "on-the-loop",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "on-the-loop",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
    }
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_has_a_type_and_tells_no_more(client: Client, exporter: InMemorySpanExporter, stream: bool) -> None:
    ask(client, "in-a-thread", "fail", stream=stream)

    span = spans(exporter)["chat in-a-thread"]
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "server_error"
    assert "gen_ai.response.finish_reasons" not in span.attributes


def test_neither_messages_nor_keys_are_traced(client: Client, exporter: InMemorySpanExporter) -> None:
    client.headers["authorization"] = "Bearer sk-do-not-tell"

    ask(client, content="do-not-tell")

    assert "do-not-tell" not in " ".join(span.to_json() for span in exporter.get_finished_spans())


def test_a_request_that_was_refused_is_no_completion(client: Client, exporter: InMemorySpanExporter) -> None:
    ask(client, "made-up")

    assert spans(exporter).keys() == {"POST /v1/chat/completions"}


def test_the_name_of_a_span_is_bounded(client: Client, exporter: InMemorySpanExporter) -> None:
    client.get("/v1/models/made-up")
    client.get("/made-up")

    assert spans(exporter).keys() == {"GET /v1/models/{model_id}", "GET"}


def test_a_trace_of_the_callers_own_is_continued(client: Client, exporter: InMemorySpanExporter) -> None:
    client.headers["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    ask(client)

    traces = {span.context.trace_id for span in exporter.get_finished_spans() if span.context}
    assert traces == {0x0AF7651916CD43DD8448EB211C80319C}


def test_the_health_is_not_traced(client: Client, exporter: InMemorySpanExporter) -> None:
    client.get("/health")
    client.get("/ready")

    assert spans(exporter) == {}


def test_nothing_is_traced_unless_asked_for(exporter: InMemorySpanExporter) -> None:
    exporter.clear()

    with TestClient(create_app(settings=Settings())) as client:
        client.get("/v1/models")

    assert spans(exporter) == {}
