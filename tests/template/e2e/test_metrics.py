"""The figures that a server shows after completions have ended in each way."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.endings import TIMEOUT, WAYS, ask
from tests.template.e2e.patience import PATIENCE, eventually
from tests.template.e2e.server import Server

ROUNDS = 10


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that counts."""
    settings = {"METRICS": "true", "COMPLETION_TIMEOUT": str(TIMEOUT)}
    with Server.with_own_models(tmp_path_factory.mktemp("counting") / "log", **settings) as running:
        yield running


def figures(server: Server, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The samples of a name, by the values of these labels."""
    text = httpx.get(f"{server.url}/metrics", timeout=PATIENCE).raise_for_status().text
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_a_mix_of_completions_is_counted_by_how_they_ended(counting: Server, key: str) -> None:
    expected: Counter[tuple[str, ...]] = Counter()
    for number, way in enumerate(WAYS.values()):
        for stream in (True, False):
            way.act(counting, way.model, f"{key}-{number}-{stream}", stream)
            expected[way.model if way.listed else "unknown", way.ended] += 1

    eventually(lambda: figures(counting, "completions_total", "model", "ended"), lambda seen: seen == expected)
    models = {way.model for way in WAYS.values() if way.listed}
    assert figures(counting, "completions_in_flight", "model") == {(model,): 0 for model in models}
    assert figures(counting, "completion_first_chunk_seconds_count", "model") == {
        (model,): int(model not in ("late-async-generator", "crash", "teapot")) for model in models
    }
    assert figures(counting, "completion_chunks_total", "model")["generator",] == 4
    assert figures(counting, "completion_chunks_total", "model")["crash-after",] == 3
    tokens = figures(counting, "completion_tokens_total", "model", "kind")
    assert (tokens["usage", "prompt"], tokens["usage", "completion"]) == (6, 4)


def test_the_time_between_chunks_is_measured(counting: Server, key: str) -> None:
    ask(counting, "brief", key, True)

    (gaps,) = figures(counting, "completion_chunk_gap_seconds_count", "model").keys() & {("brief",)}
    assert figures(counting, "completion_chunk_gap_seconds_count", "model")[gaps] >= 49
    assert figures(counting, "completion_chunk_gap_seconds_sum", "model")[gaps] >= 50 * 0.02


def test_completions_in_flight_are_seen_as_they_are(counting: Server, key: str) -> None:
    with Connection(counting.port) as connection:
        connection.post(chat("endless-generator", key, stream=True))
        counting.wait_for(key, "started")

        assert figures(counting, "completions_in_flight", "model")["endless-generator",] == 1

    eventually(
        lambda: figures(counting, "completions_in_flight", "model")["endless-generator",], lambda number: number == 0
    )


def test_every_worker_shows_the_figures_of_all(tmp_path: Path, key: str) -> None:
    with Server.with_own_models(tmp_path / "log", 2, METRICS="true") as server:
        for number in range(ROUNDS):
            ask(server, "generator", f"{key}-{number}", True)
        seen = [figures(server, "completions_total", "model", "ended") for _ in range(ROUNDS)]
        flying = figures(server, "completions_in_flight", "model")

    assert seen == [{("generator", "done"): ROUNDS}] * ROUNDS
    assert flying == {("generator",): 0}
