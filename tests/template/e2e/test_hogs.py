"""An async generator that never awaits: only the server itself can keep it from holding the event loop."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.server import Server


@contextmanager
def reader(server: Server, model: str, key: str, *, stream: bool) -> Iterator[None]:
    """A client that reads all the time what a model makes, until it leaves."""
    with Connection(server.port) as connection:
        connection.post(chat(model, key, stream=stream))
        server.wait_for(key, "started")

        def read() -> None:
            with suppress(ConnectionResetError):
                while connection.skip():
                    pass

        reading = threading.Thread(target=read)
        reading.start()
        try:
            yield
        finally:
            connection.hang_up()
            reading.join()


@pytest.mark.parametrize("stream", [False, True])
def test_others_are_served_while_it_runs_and_it_is_closed_when_its_client_leaves(
    server: Server, key: str, stream: bool
) -> None:
    with reader(server, "hog", key, stream=stream):
        for _ in range(5):
            assert server.models()
        assert server.events(key) == ["started"]

    assert server.wait_for(key, "closed") == ["started", "closed"]


@pytest.mark.parametrize("stream", [False, True])
def test_others_are_served_while_it_outlives_its_client(server: Server, key: str, stream: bool) -> None:
    with reader(server, "faithful-hog", key, stream=stream):
        pass

    for _ in range(5):
        assert server.models()
    assert server.events(key) == ["started"]
    server.open_gate(key)
    assert server.wait_for(key, "closed") == ["started", "finished", "closed"]
