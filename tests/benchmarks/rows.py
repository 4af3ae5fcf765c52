"""The rows of the benchmark: what is asked of the servers, and which figures come of it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from tests.benchmarks.figures import Figure, absolute, times
from tests.benchmarks.load import Hold, Repeat, Together, holding, run
from tests.benchmarks.models import MODELS, STRUCTURED
from tests.benchmarks.servers import BARE, PEER, Server
from tests.benchmarks.throughput import measure_throughput

__all__ = ["ROWS", "Row", "Sample"]

BLOCKS = {BARE: "a bare loop has no threads: a sync generator would hold it"}
FORTY = "runs 40 steps of sync generators at a time"
CHAT_ALONE = {PEER: "would need a second callable for it", BARE: "has chat completions alone"}
NO_EMBEDDINGS = {PEER: "has no embeddings", BARE: "has chat completions alone"}
MEGABYTES = 50
WARM, IDLE = 20, 300  # streams open before the memory is measured, and those it is measured by


class Sample(Struct, frozen=True):
    """What one round measured: a value for each of the row's figures, and the load's share of a core."""

    values: tuple[float, ...]
    load_cpu: float = 0


class Row(Struct, frozen=True, kw_only=True):
    """A row, measured in rounds that go from server to server.

    Args:
        measure: what a round measures of a server, `quick` or not.
        figures: what it measures; the first is drawn in the picture.
        once: whether one round is enough, as it takes long or needs a fresh server.
        missing: which servers are not measured, and why.
        slow: the servers that `--skip-slow` leaves out.
        sync_workers: how many threads our server may have for sync code.
        way: how the models are plugged in, if not in the fastest way.
        logs: whether each server logs each request.
    """

    measure: Callable[[Server, bool], Sample]
    figures: tuple[Figure, ...]
    once: bool = False
    missing: Mapping[str, str] = {}
    slow: Mapping[str, str] = {}
    sync_workers: int = 500
    way: str = ""
    logs: bool = False


def _rates(model: str, name: str, *goals: float, **options: Any) -> Row:
    """Return the row of a model that is asked again and again, with its goals as multiples of the others."""
    is_stream = MODELS[model].stream
    rate = Figure(name, "streams/s" if is_stream else "requests/s", times(*goals) if goals else ())
    cpu = Figure(f"{name}: CPU", "µs", less=True)  # which a busy machine distorts less
    chunks = (Figure(name, "chunks/s"),) if is_stream else ()
    return Row(measure=partial(_throughput, model=model), figures=(rate, cpu, *chunks), **options)


def _throughput(server: Server, quick: bool, *, model: str) -> Sample:
    before = server.cpu
    report = measure_throughput(server, model, seconds=1 if quick else 2)
    cpu = (server.cpu - before) / report.answers
    rate = report.answers / report.seconds
    chunks = (rate * MODELS[model].times,) if MODELS[model].stream else ()
    return Sample((rate, cpu * 1e6, *chunks), report.load_cpu)


def _structured(server: Server, quick: bool) -> Sample:
    """What a stream of 200 items costs, as a multiple of what one of 200 texts costs."""
    text, *costs = (_throughput(server, quick, model=model).values[1] for model in ("burst-async", *STRUCTURED))
    return Sample(tuple(cost / text for cost in costs))


def _first_chunk(server: Server, quick: bool) -> Sample:
    """Over one connection: what is waited for is the server, and not its other streams."""
    report = run(Repeat(port=server.port, model="burst-async", connections=1, seconds=0.5 if quick else 1))
    return Sample((report.first_p50 * 1e3, report.first_p99 * 1e3), report.load_cpu)


def _trickle(server: Server, quick: bool) -> Sample:
    streams = 100
    before = server.cpu
    report = run(Together(port=server.port, model="trickle", connections=streams))
    cpu = (server.cpu - before) / (streams * MODELS["trickle"].times)
    return Sample((cpu * 1e6, report.first_p99 * 1e3), report.load_cpu)


def _bulk(model: str, name: str, least: float) -> Row:
    def measure(server: Server, quick: bool) -> Sample:
        report = run(Together(port=server.port, model=model, connections=1))
        return Sample((MEGABYTES / report.seconds,), report.load_cpu)

    return Row(measure=measure, figures=(Figure(name, "MB/s", absolute(least)),))


def _memory(model: str, name: str, most: float, **options: Any) -> Row:
    """Return the row of idle streams: some are open before, as what these took is not there to be used again."""

    def measure(server: Server, quick: bool) -> Sample:
        with holding(Hold(port=server.port, model=model, connections=WARM)):
            before = server.memory
            with holding(Hold(port=server.port, model=model, connections=IDLE)):
                return Sample(((server.memory - before) / IDLE / 1024,))

    return Row(measure=measure, figures=(Figure(name, "KiB", absolute(most), less=True),), once=True, **options)


def _together(
    model: str, count: int, name: str, *, done: float, models: float, first: float = 0, **options: Any
) -> Row:
    """Return the row of so many answers at once, with limits of the seconds and milliseconds that they take."""

    def measure(server: Server, quick: bool) -> Sample:
        report = run(Together(port=server.port, model=model, connections=count, watch=True))
        return Sample((report.seconds, report.first_p99 * 1e3, report.models_p99 * 1e3), report.load_cpu)

    figures = (
        Figure(f"{name}: all done", "s", absolute(done), less=True),
        Figure(f"{name}: first chunk p99", "ms", absolute(first) if first else (), less=True),
        Figure(f"{name}: /v1/models p99", "ms", absolute(models), less=True),
    )
    return Row(measure=measure, figures=figures, once=True, **options)


ROWS = {
    "burst-async": _rates("burst-async", "200 chunks, async", 10, 3),
    "burst-sync": _rates("burst-sync", "200 chunks, sync", 30, 2.5),
    "answer-async": _rates("answer-async", "not streaming, async", 1.5),
    "answer-sync": _rates("answer-sync", "not streaming, sync", 1.5),
    "answer-providers": _rates("answer-async", "not streaming, both services replaced", 1.5, way="providers"),
    "answer-readme": _rates("answer-sync", "not streaming, as each README shows", 1.5, way="readme"),
    "answer-log": _rates("answer-async", "not streaming, with the access log", 1.3, logs=True),
    "structured": Row(
        measure=_structured,
        figures=tuple(Figure(f"200 of {name}: CPU", "× text", absolute(3), less=True) for name in STRUCTURED),
        missing={PEER: "takes no Delta", BARE: "takes text alone"},
    ),
    "answers-1000-sync": _together("answer-sync", 1000, "1,000 sync answers at once", done=6.5, first=1000, models=250),
    "responses-async": _rates("responses-async", "200 chunks, Responses API", missing=CHAT_ALONE),
    "response-async": _rates("response-async", "not streaming, Responses API", missing=CHAT_ALONE),
    "embed-1-float": _rates("embed-1-float", "embeddings, 1 text", missing=NO_EMBEDDINGS),
    "embed-1-base64": _rates("embed-1-base64", "embeddings, 1 text, Base64", missing=NO_EMBEDDINGS),
    "embed-100-float": _rates("embed-100-float", "embeddings, 100 texts", missing=NO_EMBEDDINGS),
    "embed-100-base64": _rates("embed-100-base64", "embeddings, 100 texts, Base64", missing=NO_EMBEDDINGS),
    "embed-gpu": _rates("embed-gpu", "embeddings, calls of 2 ms, one by one", missing=NO_EMBEDDINGS),
    "embed-gpu-batched": _rates("embed-gpu-batched", "embeddings, calls of 2 ms, batched", missing=NO_EMBEDDINGS),
    "first-chunk": Row(
        measure=_first_chunk,
        figures=(Figure("first chunk p50", "ms", less=True), Figure("first chunk p99", "ms", less=True)),
    ),
    "trickle": Row(
        measure=_trickle,
        figures=(
            Figure("trickle, CPU per chunk", "µs", times(0.65, 1.2), less=True),
            Figure("trickle, first chunk p99", "ms", less=True),
        ),
    ),
    "bulk-async": _bulk("bulk-async", "50 MB, async", 60),
    "bulk-sync": _bulk("bulk-sync", "50 MB, sync", 40),
    "memory-async": _memory("idle-async", "memory per idle stream, async", 60),
    "memory-sync": _memory(
        "idle-sync",
        "memory per idle stream, sync",
        120,
        missing=BLOCKS | {PEER: f"{FORTY}, so no more than 40 can be idle"},
    ),
    "streams-500-async": _together("long-async", 500, "500 streams of 5 s, async", done=6.5, first=1000, models=250),
    "streams-500-sync": _together(
        "long-sync",
        500,
        "500 streams of 5 s, sync",
        done=6.5,
        first=1000,
        models=250,
        missing=BLOCKS,
        slow={PEER: f"{FORTY}, so these would take a minute"},
    ),
    "streams-2000-async": _together("long-async", 2000, "2,000 streams of 5 s, async", done=8, models=1000),
    "streams-1000-sync": _together(
        "long-sync",
        1000,
        "1,000 streams of 5 s, sync",
        done=8,
        models=1000,
        missing=BLOCKS | {PEER: f"{FORTY}, so these would take two minutes"},
        sync_workers=1000,
    ),
}
