"""What can be seen of a server while it drains."""

import signal
from pathlib import Path

import httpx

from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.patience import eventually
from tests.template.e2e.server import Server


def readiness(server: Server) -> int:
    """Return the status that a new connection gets; 0 if it is refused, or closed without an answer."""
    try:
        return httpx.get(f"{server.url}/ready").status_code
    except httpx.TransportError:
        return 0


def test_a_server_that_drains_is_never_ready_while_its_streams_finish(tmp_path: Path, key: str) -> None:
    with (
        Server.with_own_models(tmp_path / "log") as server,
        Connection(server.port) as stream,
        Connection(server.port) as idle,
    ):
        stream.post(chat("brief", key, stream=True))
        stream.read_until(b"data: ")
        idle.send(b"GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
        idle.read_until(b'{"status":"ready"}')

        server.send(signal.SIGTERM)
        eventually(lambda: readiness(server), lambda status: status != 200)
        assert {readiness(server) for _ in range(5)} <= {503, 0}
        eventually(lambda: readiness(server), lambda status: status == 0)
        assert idle.read_to_end().endswith(b'{"status":"ready"}')  # and is closed without another word
        assert stream.read_to_end().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert server.wait() == 0
