"""Spans on their way to a collector."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.template.e2e.endings import WAYS, ask
from tests.template.e2e.server import Server


class Collector:
    """Takes spans by OpenTelemetry's own protocol, and keeps them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.services: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.take(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def take(self, data: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
            self.services |= {
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            }
            self.names += [span.name for scope in resource.scope_spans for span in scope.spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


def test_spans_are_sent_to_where_the_environment_says(tmp_path: Path, collector: Collector, key: str) -> None:
    settings = {"TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "mine"}
    with Server.with_own_models(tmp_path / "log", **settings) as server:
        ask(server, "brief", key, True)
        ask(server, "function", key, False)
        WAYS["left"].act(server, "endless-async-generator", key, True)
        server.wait_for(key, "closed")

    assert collector.services == {"mine"}
    names = [name for name in collector.names if "journal" not in name and name != "GET /v1/models"]
    assert sorted(names) == [
        "POST /v1/chat/completions",
        "POST /v1/chat/completions",
        "POST /v1/chat/completions",
        "chat brief",
        "chat endless-async-generator",
        "chat function",
    ]


def test_a_server_whose_collector_does_not_answer_serves_and_ends_all_the_same(tmp_path: Path, key: str) -> None:
    settings = {"TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with Server.with_own_models(tmp_path / "log", **settings) as server:
        ask(server, "function", key, False)

        (line,) = server.lines_of(key)
        assert line["ended"] == "done"
