"""Many streams in a row: the server's memory does not grow with them."""

import os
import sys
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from tests.template.e2e.connection import chat
from tests.template.e2e.crowd import Guest, crowd, together
from tests.template.e2e.server import Server

STREAMS = int(os.environ.get("STREAMS_IN_A_ROW", "3000"))
CONNECTIONS = 10
PORTION = 1000  # those that warm the server up, and those that it is given at a time
GROWTH = 4_000_000  # bytes: 200 for each of 20,000 streams
MODELS = ["generator", "async-generator", "burst", "crash-after", "crash-after-sync"]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Server]:
    """A server of its own, whose memory nobody else has used."""
    with Server.with_own_models(tmp_path / "log", LOG_LEVEL="ERROR") as running:
        yield running


async def stream(server: Server, count: int) -> None:
    """Ask for so many streams, one after the other on each of a few connections."""

    async def ask(guest: Guest) -> int:
        models = cycle(MODELS)
        answers = [await guest.ask(chat(next(models), "Hello!", stream=True)) for _ in range(count // CONNECTIONS)]
        return sum(answer.frames[-1] == "[DONE]" for answer in answers)

    async with crowd(server.port, CONNECTIONS) as guests:
        assert sum(await together(ask(guest) for guest in guests)) == count


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's memory by a file")
@pytest.mark.anyio
async def test_memory_is_flat_over_many_streams(fresh: Server, record_property: Callable[[str, object], None]) -> None:
    await stream(fresh, PORTION)
    before, held = fresh.census(), fresh.memory()

    for _ in range(STREAMS // PORTION):
        await stream(fresh, PORTION)

    after, growth = fresh.census(), fresh.memory() - held
    record_property(f"bytes that each of {STREAMS} streams added", round(growth / STREAMS, 1))
    assert growth < GROWTH
    assert (after.tasks, after.generators) == (before.tasks, before.generators)
