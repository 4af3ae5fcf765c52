"""Whether a server says that it is ready, and what can be seen of it while it drains."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.patience import eventually
from tests.template.e2e.server import Server


@pytest.fixture
def ending(tmp_path: Path) -> Iterator[Server]:
    """A server of its own, that a test may end."""
    with Server.with_own_models(tmp_path / "log") as server:
        yield server


def readiness(server: Server) -> int:
    """The status that a new connection is told; 0 if it is refused, or closed without an answer."""
    try:
        return httpx.get(f"{server.url}/ready").status_code
    except httpx.TransportError:
        return 0


def test_a_server_is_alive_and_ready(server: Server) -> None:
    assert httpx.get(f"{server.url}/health").raise_for_status().json() == {"status": "alive"}
    assert httpx.get(f"{server.url}/ready").raise_for_status().json() == {"status": "ready"}


def test_a_server_that_drains_is_ready_for_nobody_while_its_streams_finish(ending: Server) -> None:
    with Connection(ending.port) as stream, Connection(ending.port) as idle:
        stream.post(chat("brief", "Hello!", stream=True))
        stream.read_until(b"data: ")
        idle.send(b"GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
        idle.read_until(b'{"status":"ready"}')

        ending.send(signal.SIGTERM)

        eventually(lambda: readiness(ending), lambda status: status != 200)
        assert {readiness(ending) for _ in range(5)} <= {503, 0}
        eventually(lambda: readiness(ending), lambda status: status == 0)
        assert idle.read_to_end().endswith(b'{"status":"ready"}')  # and is closed without another word
        assert stream.read_to_end().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert ending.wait() == 0
