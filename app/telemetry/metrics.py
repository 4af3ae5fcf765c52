"""Metrics for Prometheus at `/metrics`: of requests, by Litestar's plugin, and of completions.

Applications of a process share them, and workers if `PROMETHEUS_MULTIPROC_DIR` was set before the client was imported.
"""

import os
from collections.abc import Callable
from functools import cache

from litestar._asgi.utils import wrap_in_exception_handler  # private, but Litestar has no public one
from litestar.config.app import AppConfig
from litestar.plugins.prometheus import PrometheusConfig, PrometheusController, PrometheusMiddleware
from litestar.types import ASGIApp
from prometheus_client import Counter, Gauge, Histogram, multiprocess

from app.engine.observers import Record
from app.web.logs import QUIET

OPTIONS = {QUIET: True}
GAPS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds
DURATIONS = (*GAPS, 60, 120, 300, 600)
IN_FLIGHT = Gauge("completions_in_flight", "Completions that are under way", ["model"], multiprocess_mode="livesum")
FIRST = Histogram("completion_first_chunk_seconds", "From a request to the first write", ["model"], buckets=DURATIONS)
GAP = Histogram("completion_chunk_gap_seconds", "Between writes of chunks", ["model"], buckets=GAPS)
CHUNKS = Counter("completion_chunks", "Chunks sent, counted at the end of their stream", ["model"])
TOKENS = Counter("completion_tokens", "Tokens, as models reported them", ["model", "kind"])
COMPLETIONS = Counter("completions", "Completions, by how they ended", ["model", "ended"])


def add_metrics(app_config: AppConfig) -> None:
    """Measure the requests and completions of an application, and serve the metrics."""
    config = PrometheusConfig(
        prefix="http", group_path=True, buckets=list(DURATIONS), exclude_opt_key=QUIET, middleware_class=RequestMetrics
    )
    app_config.middleware.insert(0, config.middleware)
    app_config.route_handlers.append(MetricsController)
    app_config.state.engine.observers.append(CompletionMetrics())
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # its files must not keep the completions in flight of a dead worker
        forget: Callable[[int], None] = multiprocess.mark_process_dead
        app_config.on_shutdown.append(lambda: forget(os.getpid()))


class RequestMetrics(PrometheusMiddleware):
    """Litestar's middleware around its exception handler: an exception of another middleware would count as a 200."""

    def __init__(self, app: ASGIApp, config: PrometheusConfig) -> None:
        super().__init__(wrap_in_exception_handler(app), config)


class MetricsController(PrometheusController):
    """Serves the metrics, to callers with an API key if there are keys; the access log has these requests at DEBUG."""

    opt = OPTIONS
    include_in_schema = False


class CompletionMetrics:
    """Observer that measures completions by model."""

    def started(self, record: Record) -> None:
        """Count the completion as in flight."""
        _metrics_of(record.model).in_flight.inc()

    def sent(self, record: Record) -> None:
        """Measure how long the client has waited for this write."""
        if record.gap is not None:
            _metrics_of(record.model).gap.observe(record.gap)
        elif record.first_chunk is not None:
            _metrics_of(record.model).first_chunk.observe(record.first_chunk)

    def ended(self, record: Record) -> None:
        """Count the completion by its ending, and its chunks and tokens."""
        COMPLETIONS.labels(record.model or "unknown", record.ended).inc()
        if record.model is None:  # refused before it started
            return
        metrics = _metrics_of(record.model)
        metrics.in_flight.dec()
        metrics.chunks.inc(record.chunks)
        metrics.prompt_tokens.inc(record.prompt_tokens or 0)
        metrics.completion_tokens.inc(record.completion_tokens or 0)


class _ModelMetrics:
    def __init__(self, model: str | None) -> None:
        self.in_flight = IN_FLIGHT.labels(model)
        self.first_chunk = FIRST.labels(model)
        self.gap = GAP.labels(model)
        self.chunks = CHUNKS.labels(model)
        self.prompt_tokens = TOKENS.labels(model, "prompt")
        self.completion_tokens = TOKENS.labels(model, "completion")


_metrics_of = cache(_ModelMetrics)  # looking up six metrics by their labels takes longer than counting
