"""When a connection is cut because its client takes nothing of what waits for it."""

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from app.app import create_app
from app.settings import Settings
from app.web.http import Http

LOOKS: list[tuple[list[int], bool]] = [  # tens: what waits in the buffer of the transport, ones: in the system's
    ([0, 0, 0, 0, 0, 0, 0], False),
    ([3, 3, 3, 3, 3, 3, 3], False),
    ([99, 99, 99, 99], False),
    ([99, 99, 99, 99, 99], True),
    ([99, 99, 99, 89, 89, 89, 89], False),
    ([99, 99, 99, 98, 98, 98, 98], False),
    ([99, 99, 99, 98, 98, 98, 98, 98], True),
    ([99, 89, 79, 69, 59, 49, 39, 29], False),
    ([99, 98, 97, 96, 95, 94, 93, 92], False),
    ([99, 0, 99, 0, 99, 0, 99], False),
]
CLOSING = [([0], True), ([3], True), ([99], False), ([99, 99], True), ([99, 98, 88], False), ([99, 89, 3], True)]


Watched: TypeAlias = tuple[Http, Callable[[list[int]], bool]]


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


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A connection, and a function that looks at what waits on it each time, and returns whether it was cut at last."""
    clock: Any = Clock()
    transport: Any = Transport()
    protocol = Http(Config(create_app(settings=Settings()), log_config=None), ServerState(), {}, clock)
    protocol.connection_made(transport)

    def look(waiting: list[int]) -> bool:
        for each in waiting:
            assert not transport.aborted
            transport.size, queued = divmod(each, 10)
            monkeypatch.setattr("app.web.http._queue_of", lambda _, queued=queued: bytes([queued]))
            clock.timers[-1]()
        aborted: bool = transport.aborted
        return aborted

    return protocol, look


@pytest.mark.parametrize(("waiting", "is_cut"), LOOKS)
def test_a_client_is_cut_that_takes_nothing_for_four_looks(
    connection: Watched, waiting: list[int], is_cut: bool
) -> None:
    _, look = connection
    assert look(waiting) is is_cut


@pytest.mark.parametrize(("waiting", "is_cut"), CLOSING)
def test_after_the_grace_a_client_is_spared_as_long_as_it_reads(
    connection: Watched,
    monkeypatch: pytest.MonkeyPatch,
    waiting: list[int],
    is_cut: bool,
) -> None:
    protocol, look = connection
    monkeypatch.setattr("app.engine.engine.Engine.drain", lambda engine, grace: None)
    protocol.shutdown()
    assert look(waiting) is is_cut
