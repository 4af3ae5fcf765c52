"""When a connection is cut because its client takes nothing of what waits for it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from app.app import create_app
from app.settings import Settings
from app.web.http import Http

ALL = -1  # the client takes all that waits, and then as much is written as the next look finds
LOOKS: list[tuple[list[int], bool]] = [
    ([0, 0, 0, 0, 0, 0, 0], False),
    ([9, 9, 9, 9], False),
    ([9, 9, 9, 9, 9], True),
    ([9, 9, 9, 8, 8, 8, 8], False),
    ([9, 9, 9, 8, 8, 8, 8, 8], True),
    ([9, 8, 7, 6, 5, 4, 3, 2], False),
    ([5, ALL, 6, ALL, 7, ALL, 8, ALL, 9], False),
    ([9, 0, 9, 0, 9, 0, 9], False),
]
CLOSING = [([0], True), ([9], False), ([9, 9], True), ([9, 8], False), ([9, 8, 0], True), ([5, ALL, 6], False)]


class Clock:
    """An event loop on which the last timer is due when a test says so."""

    def __init__(self) -> None:
        self.timers: list[Callable[[], object]] = []

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: object) -> "Clock":
        self.timers.append(lambda: callback(*arguments))
        return self

    def cancel(self) -> None:
        pass


class Transport:
    """A transport in whose buffer so many bytes wait."""

    size = 0
    aborted = False

    def get_write_buffer_size(self) -> int:
        return self.size

    def set_write_buffer_limits(self, high: int | None, low: int | None) -> None:
        assert (high, low) == ((1, 0) if self.size else (None, None))

    def get_extra_info(self, name: str) -> None:
        return None

    def is_closing(self) -> bool:
        return self.aborted

    def close(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


def look(connection: Http, clock: Clock, transport: Any, sizes: Sequence[int]) -> None:
    for size in sizes:
        assert not transport.aborted
        if size == ALL:
            connection.resume_writing()
        else:
            transport.size = size
            clock.timers[-1]()


@pytest.fixture
def connection() -> tuple[Http, Clock, Any]:
    clock: Any = Clock()
    transport: Any = Transport()
    config = Config(create_app(settings=Settings(request_timeout=1)), log_config=None)
    protocol = Http(config, ServerState(), {}, clock)
    protocol.connection_made(transport)
    return protocol, clock, transport


@pytest.mark.parametrize(("sizes", "is_cut"), LOOKS)
def test_a_client_is_cut_that_takes_nothing_for_four_looks(
    connection: tuple[Http, Clock, Any], sizes: list[int], is_cut: bool
) -> None:
    look(*connection, sizes)
    assert connection[2].aborted is is_cut


@pytest.mark.parametrize(("sizes", "is_cut"), CLOSING)
def test_after_the_grace_a_client_is_spared_as_long_as_it_reads(
    connection: tuple[Http, Clock, Any], monkeypatch: pytest.MonkeyPatch, sizes: list[int], is_cut: bool
) -> None:
    protocol, clock, transport = connection
    monkeypatch.setattr("app.engine.engine.Engine.drain", lambda engine, grace: None)
    protocol.shutdown()
    look(protocol, clock, transport, sizes)
    assert transport.aborted is is_cut
