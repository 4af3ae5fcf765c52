"""Traces by OpenTelemetry: a span for each request, and in it one for its completion, by the conventions for GenAI.

Spans are exported by OTLP as OpenTelemetry's own variables say, e.g. `OTEL_EXPORTER_OTLP_ENDPOINT` and
`OTEL_SERVICE_NAME`. A tracer provider that is already set, e.g. by `opentelemetry-instrument`, is used instead.
"""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.plugins.opentelemetry import OpenTelemetryConfig, OpenTelemetryInstrumentationMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, StatusCode

from app.engine.observers import Record


def add_tracing(app_config: AppConfig, *, provider: str, root_path: str) -> None:
    """Trace the requests and completions of an application.

    Args:
        app_config: The configuration of the application.
        provider: The provider of its models in the spans.
        root_path: The path before those of its routes.
    """
    config = OpenTelemetryConfig(
        exclude=rf"^{re.escape(root_path)}/(health|ready|metrics)/?$",
        exclude_spans=["send", "receive"],  # there would be one for every chunk
        scope_span_details_extractor=lambda scope: (str(scope.get("method", "")), {}),
        middleware_class=_WithoutQuery,
    )
    app_config.middleware.append(config.middleware)
    app_config.middleware.insert(0, _NameSpan())
    app_config.lifespan.insert(0, _export_spans)
    app_config.state.engine.observers.append(CompletionSpans(provider))
    logging.getLogger(trace_exporter.__name__).addFilter(_OneLine())


def resource() -> Resource:
    """Return what describes this server, by OpenTelemetry's variables; without them it would be `unknown_service`."""
    name = OTELResourceDetector().detect().attributes.get(SERVICE_NAME, "openai-api")
    return Resource.create({SERVICE_NAME: name})


class CompletionSpans:
    """Observer that makes a span for each completion."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._tracer = trace.get_tracer("app.telemetry.tracing")
        self._spans: WeakKeyDictionary[Record, Span] = WeakKeyDictionary()

    def started(self, record: Record) -> None:
        """Start a span; spans that the model's code starts become its children."""
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": record.operation,
            "gen_ai.provider.name": self._provider,
            "gen_ai.request.model": record.model,
            "gen_ai.request.stream": record.stream,
        }
        span = self._spans[record] = self._tracer.start_span(
            f"{record.operation} {record.model}", attributes=attributes
        )
        context.attach(trace.set_span_in_context(span))  # never detached: the context ends with the request's task

    def sent(self, record: Record) -> None:
        """Do nothing: a span for each write would bury the others."""

    def ended(self, record: Record) -> None:
        """End the span with what is known now."""
        if (span := self._spans.pop(record, None)) is None:
            return
        attributes: dict[str, Any] = {
            "gen_ai.response.id": record.id,
            "gen_ai.response.model": record.response_model,
            "gen_ai.response.finish_reasons": record.finish_reasons or None,
            "gen_ai.response.time_to_first_chunk": record.first_chunk,
            "gen_ai.usage.input_tokens": record.prompt_tokens,
            "gen_ai.usage.output_tokens": record.completion_tokens,
            "error.type": record.error,
        }
        span.set_attributes({name: value for name, value in attributes.items() if value is not None})
        if record.ended in ("error", "timeout", "rejected"):
            span.set_status(StatusCode.ERROR)
        span.end()


class _WithoutQuery(OpenTelemetryInstrumentationMiddleware):
    """Hides the query string from OpenTelemetry, as it may hold what clients keep secret; it has to be UTF-8 there."""

    def __init__(self, app: ASGIApp, config: OpenTelemetryConfig) -> None:
        async def restore(scope: Scope, receive: Receive, send: Send) -> None:
            scope["query_string"] = scope["state"].pop("query_string", b"") or scope["query_string"]
            await app(scope, receive, send)

        super().__init__(restore, config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["query_string"] = scope["query_string"]
        scope["query_string"] = b""
        await super().__call__(scope, receive, send)


class _NameSpan(ASGIMiddleware):
    """Names the span of a request after its route, which is not known yet when the span starts."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        span = trace.get_current_span()
        span.update_name(f"{scope.get('method')} {scope['path_template']}")
        span.set_attribute("http.route", scope["path_template"])
        await next_app(scope, receive, send)


@asynccontextmanager
async def _export_spans(_: Litestar) -> AsyncIterator[None]:
    """Set a tracer provider if none is set; it exports the last spans when the process exits."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider(resource=resource())
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
    yield


class _OneLine(logging.Filter):
    """Drops the exporter's lines that it tries again, and adds their last reason to the line that it gave up."""

    _reason: object = None

    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args if isinstance(record.args, tuple) else ()
        if "retrying" in str(record.msg):
            self._reason = args[0]
            return False
        if self._reason is not None:
            record.msg, record.args = f"{record.msg} The last error: %s", (*args, self._reason)
            self._reason = None
        return True
