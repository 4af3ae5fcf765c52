"""Figures for Prometheus, at `/metrics`: Litestar's own of all requests, and ours of completions.

They belong to the process: Litestar's plugin keeps its figures in the global registry, so ours are
there as well, and each is made once, however many applications are.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from litestar import Litestar
from litestar._asgi.utils import wrap_in_exception_handler
from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin
from litestar.plugins.prometheus import PrometheusConfig, PrometheusController, PrometheusMiddleware
from litestar.types import ASGIApp
from msgspec import Struct
from prometheus_client import Counter, Gauge, Histogram, multiprocess

from app.engine.observers import Record
from app.web.logs import QUIET
from app.web.authentication import OPEN

__all__ = ["Metrics"]

OPTIONS = {QUIET: True, OPEN: True}
UNKNOWN = "unknown"  # the model of a request that was refused before it was known
MOMENTS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds
DURATIONS = (*MOMENTS, 60, 120, 300, 600)


class Metrics(InitPlugin):
    """Counts requests and completions, and shows the figures."""

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add what counts requests, and the route that shows the figures."""
        config = PrometheusConfig(
            prefix="http",
            group_path=True,
            buckets=list(DURATIONS),
            exclude_opt_key=QUIET,
            middleware_class=Middleware,
        )
        app_config.middleware.insert(0, config.middleware)
        app_config.route_handlers.append(MetricsController)
        app_config.lifespan.append(_lifespan)
        return app_config

    def started(self, record: Record) -> None:
        """Another one is in flight."""
        _figures_of(record.model).in_flight.inc()

    def sent(self, record: Record) -> None:
        """Measure what the client has waited for."""
        figures = _figures_of(record.model)
        if record.gap is not None:
            figures.gap.observe(record.gap)
        elif record.first_chunk is not None:
            figures.first_chunk.observe(record.first_chunk)

    def ended(self, record: Record) -> None:
        """Count it, and what it has made."""
        _completion_figures().completions.labels(record.model or UNKNOWN, record.ended).inc()
        if record.model is None:
            return
        figures = _figures_of(record.model)
        figures.in_flight.dec()
        figures.chunks.inc(record.chunks)
        figures.prompt_tokens.inc(record.prompt_tokens or 0)
        figures.completion_tokens.inc(record.completion_tokens or 0)


class Middleware(PrometheusMiddleware):
    """Litestar's, around an answer also where another middleware refuses a request: it would count a 200."""

    def __init__(self, app: ASGIApp, config: PrometheusConfig) -> None:
        super().__init__(wrap_in_exception_handler(app), config)


class MetricsController(PrometheusController):
    """Shows the figures: of all workers where `PROMETHEUS_MULTIPROC_DIR` says where they keep them."""

    opt = OPTIONS
    include_in_schema = False


class _Figures(Struct, frozen=True):
    """Those of one model."""

    in_flight: Gauge
    first_chunk: Histogram
    gap: Histogram
    chunks: Counter
    prompt_tokens: Counter
    completion_tokens: Counter


class _CompletionFigures:
    """Those of all models."""

    def __init__(self) -> None:
        by_model = ("model",)
        self.in_flight = Gauge(
            "completions_in_flight", "Completions that are under way", by_model, multiprocess_mode="livesum"
        )
        self.first_chunk = Histogram(
            "completion_first_chunk_seconds", "From a request to the first write", by_model, buckets=DURATIONS
        )
        self.gap = Histogram("completion_chunk_gap_seconds", "Between writes of chunks", by_model, buckets=MOMENTS)
        self.chunks = Counter("completion_chunks", "Chunks sent, counted at the end of their stream", by_model)
        self.tokens = Counter("completion_tokens", "Tokens, as models reported them", ("model", "kind"))
        self.completions = Counter("completions", "Completions, by how they ended", ("model", "ended"))

    def of(self, model: str) -> _Figures:
        return _Figures(
            self.in_flight.labels(model),
            self.first_chunk.labels(model),
            self.gap.labels(model),
            self.chunks.labels(model),
            self.tokens.labels(model, "prompt"),
            self.tokens.labels(model, "completion"),
        )


_completion_figures = cache(_CompletionFigures)


@cache  # looking up six by their labels takes longer than counting
def _figures_of(model: str | None) -> _Figures:
    return _completion_figures().of(model or UNKNOWN)


@asynccontextmanager
async def _lifespan(_: Litestar) -> AsyncIterator[None]:
    """Leave no completions in flight behind, where workers keep their figures in files."""
    yield
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]  # of a typed package
