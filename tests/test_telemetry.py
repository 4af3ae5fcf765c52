"""Pack `telemetry`: metrics for Prometheus and traces by OpenTelemetry, each by a setting and an extra."""

import pytest

from schemas.chat import Usage
from tests.conftest import Serve, ask, yielding

MODEL = yielding("Hello", Usage(prompt_tokens=3, completion_tokens=2))


def test_metrics_count_completions_chunks_and_tokens(serve: Serve) -> None:
    pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")
    client = serve({"measured": MODEL}, metrics=True)
    ask(client, model="measured", stream=True)

    figures = client.get("/metrics").text.splitlines()
    assert 'completions_total{ended="done",model="measured"} 1.0' in figures
    assert 'completion_chunks_total{model="measured"} 3.0' in figures
    assert 'completion_tokens_total{kind="prompt",model="measured"} 3.0' in figures


def test_a_request_is_traced_with_its_completion(serve: Serve) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra `otel`")
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    if not isinstance(trace.get_tracer_provider(), TracerProvider):  # a process sets it once
        trace.set_tracer_provider(TracerProvider())
    provider, exporter = trace.get_tracer_provider(), InMemorySpanExporter()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    ask(serve(MODEL, tracing=True), stream=True)

    completion, request = exporter.get_finished_spans()
    assert (request.name, completion.name) == ("POST /v1/chat/completions", "chat test")
    assert completion.parent == request.context
    assert (completion.attributes or {})["gen_ai.usage.output_tokens"] == 2
