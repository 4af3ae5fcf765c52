"""OpenTelemetry: a span for each request, and in it one for its completion, by the conventions for GenAI.

Where they go is said by OpenTelemetry's own variables, e.g. `OTEL_EXPORTER_OTLP_ENDPOINT` and
`OTEL_SERVICE_NAME`; who has set up a provider already, as `opentelemetry-instrument` does, keeps it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.plugins import InitPlugin
from litestar.plugins.opentelemetry import OpenTelemetryConfig, OpenTelemetryPlugin
from litestar.types import ASGIApp, Receive, Scope, Send
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import HTTP_ROUTE
from opentelemetry.trace import Span, SpanKind, StatusCode

from app.engine.observers import Record

__all__ = ["Tracing"]

UNTRACED = ["^/health$", "^/ready$", "^/metrics$"]


class Tracing(InitPlugin):
    """Traces requests and completions.

    Args:
        provider: who provides the models, as the conventions ask.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._tracer = trace.get_tracer("app.telemetry.tracing")
        self._spans: WeakKeyDictionary[Record, Span] = WeakKeyDictionary()

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add what traces requests."""
        config = OpenTelemetryConfig(
            exclude=UNTRACED,
            exclude_spans=["send", "receive"],  # there would be one for every chunk
            scope_span_details_extractor=_details_of,
        )
        app_config.plugins.append(OpenTelemetryPlugin(config))
        app_config.middleware.insert(0, _NameRoute())
        app_config.lifespan.insert(0, _lifespan)
        return app_config

    def started(self, record: Record) -> None:
        """Begin a span, and let those that the model's code makes be its children."""
        span = self._tracer.start_span(f"chat {record.model}", kind=SpanKind.INTERNAL, attributes=self._known(record))
        self._spans[record] = span
        context.attach(trace.set_span_in_context(span))  # of this request's task, with which it ends

    def sent(self, record: Record) -> None:
        """Nothing: a span for each chunk would drown the rest."""

    def ended(self, record: Record) -> None:
        """End the span."""
        if (span := self._spans.pop(record, None)) is None:
            return
        span.set_attributes(_answered(record))
        if record.error is not None:
            span.set_attribute(ERROR_TYPE, record.error)
        if record.ended in ("error", "timeout", "rejected"):
            span.set_status(StatusCode.ERROR)
        span.end()

    def _known(self, record: Record) -> dict[str, Any]:
        return {
            gen_ai.GEN_AI_OPERATION_NAME: "chat",
            gen_ai.GEN_AI_PROVIDER_NAME: self._provider,
            gen_ai.GEN_AI_REQUEST_MODEL: record.model,
            gen_ai.GEN_AI_REQUEST_STREAM: record.stream,
        }


def _answered(record: Record) -> dict[str, Any]:
    attributes = {
        gen_ai.GEN_AI_RESPONSE_ID: record.id,
        gen_ai.GEN_AI_RESPONSE_MODEL: record.response_model,
        gen_ai.GEN_AI_RESPONSE_FINISH_REASONS: record.finish_reasons or None,
        gen_ai.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: record.first_chunk,
        gen_ai.GEN_AI_USAGE_INPUT_TOKENS: record.prompt_tokens,
        gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS: record.completion_tokens,
    }
    return {name: value for name, value in attributes.items() if value is not None}


class _NameRoute(ASGIMiddleware):
    """Names a request's span after its route, which is not known when the span begins."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        span = trace.get_current_span()
        span.update_name(f"{scope.get('method')} {scope['path_template']}")
        span.set_attribute(HTTP_ROUTE, scope["path_template"])
        await next_app(scope, receive, send)


def _details_of(scope: Scope) -> tuple[str, dict[str, Any]]:
    return str(scope.get("method", "")), {}


@asynccontextmanager
async def _lifespan(_: Litestar) -> AsyncIterator[None]:
    """Set up a provider; it sends what is left when the process ends."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
    yield
