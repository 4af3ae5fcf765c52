"""The warning that a server is open to all."""

import signal
import socket
from pathlib import Path

import pytest

from tests.template.e2e.server import Server

EVERYWHERE = ("--host", "0.0.0.0")  # noqa: S104 - for as long as it takes to see what is said of it
STARTED = "Application startup complete"
WARNING = "No API_KEYS are set, and the server listens on 0.0.0.0: anyone who reaches it may use it."


def log_of(server: Server) -> str:
    """What a server says from its start to its end."""
    try:
        server.wait_for_log(STARTED)
        server.send(signal.SIGTERM)
        server.wait()
    finally:
        server.kill()
    return server.log


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_without_keys_that_others_can_reach_says_so_once(tmp_path: Path, workers: int) -> None:
    with Server(tmp_path / "log", options=EVERYWHERE, workers=workers) as server:
        pass

    (line,) = [line for line in server.log.splitlines() if "API_KEYS" in line]
    assert "WARNING" in line
    assert WARNING in line


def test_a_server_with_keys_says_nothing(tmp_path: Path) -> None:
    server = Server(tmp_path / "log", options=EVERYWHERE, settings={"API_KEYS": "sk-mine"})

    assert "API_KEYS" not in log_of(server)


def test_a_server_that_nobody_else_can_reach_says_nothing(shipped: Server) -> None:
    assert "API_KEYS" not in shipped.wait_for_log(STARTED)


def test_a_server_behind_a_file_says_nothing(tmp_path: Path) -> None:
    assert "API_KEYS" not in log_of(Server(tmp_path / "log", options=("--uds", str(tmp_path / "socket"))))


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])  # noqa: S104 - see above
def test_a_socket_that_is_handed_over_is_looked_at(tmp_path: Path, host: str, warned: bool) -> None:
    with socket.socket() as listening:
        listening.bind((host, 0))
        listening.listen()
        file = listening.fileno()
        server = Server(tmp_path / "log", options=("--fd", str(file)), files=(file,))

        assert (WARNING in log_of(server)) is warned
