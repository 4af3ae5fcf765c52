"""Pack `telemetry`: spans by OpenTelemetry's conventions."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs the extra `otel`")

from litestar import Request, get
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from app.services import Body, Messages
from app.settings import RootPath
from app.telemetry.tracing import resource
from schemas.chat import Usage
from tests.conftest import PATIENCE, Client, Serve, ask, live, until
from tests.template.e2e.connection import chat, says
from tests.template.e2e.server import SERVING, Server
from tests.template.packs.embedding import ROWS, embed, returns
from tests.template.upstream import Upstream

tracer = trace.get_tracer("the user's own")


async def on_the_loop(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Usage]:
    with tracer.start_as_current_span("work"):
        await asyncio.sleep(0)
    yield "Hello"
    if messages[0]["content"] == "fail":
        raise ValueError("secret")
    if messages[0]["content"] == "wait":
        await asyncio.Event().wait()
    yield Usage(prompt_tokens=3, completion_tokens=2)


def in_a_thread(model: str, messages: Messages, body: Body) -> Iterator[str]:
    with tracer.start_as_current_span("work"):
        yield "Hello"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    if not isinstance(trace.get_tracer_provider(), TracerProvider):  # a process sets it once
        trace.set_tracer_provider(TracerProvider())
    provider, exporter = trace.get_tracer_provider(), InMemorySpanExporter()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def traced(serve: Serve) -> Client:
    return serve({"on-the-loop": on_the_loop, "in-a-thread": in_a_thread}, tracing=True, owned_by="acme")


def spans(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """Return what was traced by name, each name once."""
    finished = exporter.get_finished_spans()
    assert len({span.name for span in finished}) == len(finished)
    return {span.name: span for span in finished}


@pytest.mark.parametrize("model", ["on-the-loop", "in-a-thread"])
@pytest.mark.parametrize("stream", [True, False])
def test_the_span_of_a_completion_is_in_that_of_its_request_and_around_those_of_the_model(
    traced: Client, exporter: InMemorySpanExporter, model: str, stream: bool
) -> None:
    ask(traced, model=model, stream=stream)

    found = spans(exporter)
    assert found.keys() == {"POST /v1/chat/completions", f"chat {model}", "work"}
    request, completion, work = found["POST /v1/chat/completions"], found[f"chat {model}"], found["work"]
    assert (request.kind, completion.kind) == (SpanKind.SERVER, SpanKind.INTERNAL)
    assert (request.attributes or {})["http.route"] == "/v1/chat/completions"
    assert completion.parent == request.context
    assert work.parent == completion.context


def test_a_completion_is_described_as_the_conventions_say(traced: Client, exporter: InMemorySpanExporter) -> None:
    answer = ask(traced, model="on-the-loop", stream=True).text

    span = spans(exporter)["chat on-the-loop"]
    attributes = dict(span.attributes or {})
    seconds = attributes.pop("gen_ai.response.time_to_first_chunk")
    assert isinstance(seconds, float)
    assert seconds > 0
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
def test_a_failure_has_a_type_and_no_message(traced: Client, exporter: InMemorySpanExporter, stream: bool) -> None:
    ask(traced, "fail", model="on-the-loop", stream=stream)

    span = spans(exporter)["chat on-the-loop"]
    attributes = span.attributes or {}
    assert (span.status.status_code, attributes["error.type"]) == (StatusCode.ERROR, "server_error")
    assert "gen_ai.response.finish_reasons" not in attributes
    assert "secret" not in span.to_json()


def test_the_span_of_embeddings_has_their_name(serve: Serve, exporter: InMemorySpanExporter) -> None:
    embed(serve(returns(ROWS[:1]), tracing=True))

    found = spans(exporter)
    assert found.keys() == {"embeddings test", "POST /v1/embeddings"}
    assert (found["embeddings test"].attributes or {})["gen_ai.operation.name"] == "embeddings"


def test_a_completion_whose_client_left_is_no_error(exporter: InMemorySpanExporter) -> None:
    with (
        live(on_the_loop, tracing=True) as client,
        client.chat.completions.create(model="test", messages=says("wait"), stream=True) as stream,
    ):
        next(stream)
        stream.close()
        span = until(lambda: spans(exporter).get("chat test"), bool)

    assert span is not None
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("POST", "/v1/chat/completions", {"POST /v1/chat/completions"}),
        ("GET", "/v1/models/made-up", {"GET /v1/models/{model_id}"}),
        ("GET", "/made-up", {"GET"}),
        ("GET", "/health", set()),
        ("GET", "/ready", set()),
        ("HEAD", "/ready/", set()),
        ("GET", "/v1/models/health", {"GET /v1/models/{model_id}"}),
    ],
)
def test_a_request_without_a_completion_has_one_span_named_after_its_route_and_health_none(
    traced: Client, exporter: InMemorySpanExporter, method: str, path: str, names: set[str]
) -> None:
    traced.request(method, path, json=chat("made-up", "Hello!") if method == "POST" else None)

    assert spans(exporter).keys() == names


def test_a_trace_of_the_caller_is_continued_without_its_key_and_its_messages(
    traced: Client, exporter: InMemorySpanExporter
) -> None:
    traced.headers["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    traced.headers["authorization"] = "Bearer sk-do-not-tell"

    ask(traced, "do-not-tell", model="on-the-loop")

    found = exporter.get_finished_spans()
    assert {span.context.trace_id for span in found if span.context} == {0x0AF7651916CD43DD8448EB211C80319C}
    assert "do-not-tell" not in " ".join(span.to_json() for span in found)


@pytest.mark.parametrize("opt_in", ["", "http", "http/dup"])
@pytest.mark.parametrize("path", ["/v1/models", "/made-up"])
def test_the_query_of_a_request_is_in_no_span_and_comes_to_its_handler(
    serve: Serve, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, opt_in: str, path: str
) -> None:
    @get("/mine")
    async def mine(request: Request[Any, Any, Any]) -> str:
        return request.scope["query_string"].decode("latin-1")

    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", opt_in)
    monkeypatch.setattr(_OpenTelemetrySemanticConventionStability, "_initialized", False)
    client = serve(in_a_thread, tracing=True)
    client.app.register(mine)

    assert client.get("/mine?key=do-not-tell").text == "key=do-not-tell"
    assert client.get(f"{path}?key=do-not-tell%FF").status_code in (200, 404)
    finished = exporter.get_finished_spans()
    assert len(finished) == 2
    assert "do-not-tell" not in " ".join(span.to_json() for span in finished)


def test_without_their_settings_there_are_neither_metrics_nor_spans(
    serve: Serve, exporter: InMemorySpanExporter
) -> None:
    client = serve(in_a_thread)

    assert client.get("/metrics").status_code == 404
    assert client.get("/v1/models").status_code == 200
    assert spans(exporter) == {}


def test_a_probe_has_no_span_below_a_root_path_either(serve: Serve, exporter: InMemorySpanExporter) -> None:
    client = serve(on_the_loop, tracing=True, root_path=RootPath("/llm"))
    assert client.get("/llm/health").status_code == client.get("/ready").status_code == 200
    assert spans(exporter) == {}


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("OTEL_SERVICE_NAME", "", "openai-api"),
        ("OTEL_SERVICE_NAME", "mine", "mine"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine", "mine"),
    ],
)
def test_the_server_has_a_name_in_its_traces(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, name: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert resource().attributes["service.name"] == name


def serve_and_stop(log: Path, endpoint: str, **settings: str) -> None:
    """Serve one completion by a server that exports its spans, and stop it by SIGTERM."""
    settings |= {"TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    with Server(log, app=SERVING, **settings) as server:
        response = httpx.post(f"{server.url}/v1/chat/completions", json=chat("function", "Hello!"), timeout=PATIENCE)
        assert response.status_code == 200


def test_spans_are_sent_to_where_the_environment_says_before_the_server_ends(tmp_path: Path) -> None:
    with Upstream() as collector:
        serve_and_stop(tmp_path / "log", collector.url, OTEL_SERVICE_NAME="mine")

    received = [ExportTraceServiceRequest.FromString(body) for _, _, body in collector.requests]
    resources = [span for data in received for span in data.resource_spans]
    names = [span.name for resource in resources for scope in resource.scope_spans for span in scope.spans]
    assert all('string_value: "mine"' in str(resource.resource) for resource in resources)
    assert sorted(name for name in names if "journal" not in name) == ["POST /v1/chat/completions", "chat function"]


def test_a_server_whose_collector_does_not_answer_serves_and_ends(tmp_path: Path) -> None:
    serve_and_stop(tmp_path / "log", "http://127.0.0.1:9", OTEL_EXPORTER_OTLP_TIMEOUT="1")


def test_a_collector_that_takes_no_spans_is_told_in_one_line_with_the_reason(
    traced: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with Upstream() as collector:
        collector.answers({}, status=503, retry_after="0")
        exporter: Any = OTLPSpanExporter(collector.url)  # whose `shutdown` has no types
        assert exporter.export([]) is SpanExportResult.FAILURE
        exporter.shutdown()

    assert len(collector.requests) > 1
    (line,) = caplog.messages
    assert re.fullmatch("Failed to export .*: Service Unavailable", line)
