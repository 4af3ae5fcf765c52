"""`litestar run --wc 2`: both processes serve, and each keeps its own count."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.patience import PATIENCE
from tests.template.e2e.server import Server

AT_ONCE = 20
WORKERS = 2


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Server]:
    """Two workers, each of which allows one completion at a time."""
    with Server.with_own_models(tmp_path / "log", WORKERS, MAX_CONCURRENT_COMPLETIONS="1") as server:
        yield server


def served(port: int, held: ExitStack) -> int:
    """Ask many times at once for what does not end, and return how many got it; they stay."""
    connections = [held.enter_context(Connection(port)) for _ in range(AT_ONCE)]
    for connection in connections:
        connection.post(chat("gated-async-generator", "Hello!", stream=True))
    heads = [connection.read_until(b"\r\n\r\n").split()[1] for connection in connections]
    assert set(heads) <= {b"200", b"503"}
    return heads.count(b"200")


def test_a_limit_is_each_workers_own(pair: Server) -> None:
    count = 0
    with ExitStack() as held:
        deadline = time.monotonic() + PATIENCE
        while count < WORKERS and time.monotonic() < deadline:  # which of them takes a connection is chance
            count += served(pair.port, held)

        assert count == WORKERS
        assert served(pair.port, held) == 0
