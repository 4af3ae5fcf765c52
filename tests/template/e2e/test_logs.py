"""What a server writes of completions whose clients leave, or that it cuts off when it stops."""

import signal
from pathlib import Path

import pytest

from tests.conftest import until
from tests.template.e2e.connection import PATH, Connection, chat
from tests.template.e2e.server import SERVING, Server

LEFT = {
    "left": "endless-async-generator",
    "left in a thread": "endless-generator",
    "left before the first item": "late-async-generator",
    "left and finished": "faithful-generator",
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("name", LEFT)
def test_the_line_of_a_completion_whose_client_left_says_so(server: Server, key: str, name: str, stream: bool) -> None:
    server.ask_and_leave(LEFT[name], key, stream=stream)
    if name == "left and finished":
        seen = server.items(key)
        until(lambda: server.items(key), lambda items: items > seen + 30)  # it runs on
        server.open_gate(key)

    (line,) = server.lines_of(key)
    assert (line["method"], line["path"], line["level"]) == ("POST", PATH, "INFO")
    assert (line["model"], line["stream"], line["ended"]) == (LEFT[name], stream, "client_left")
    assert "error" not in line
    if name == "left before the first item":
        assert (line["status"], line.get("chunks")) == (499, 0 if stream else None)


def test_a_completion_that_the_end_of_the_server_cuts_off_is_an_error(tmp_path: Path, key: str) -> None:
    with (
        Server(tmp_path / "log", app=SERVING, SHUTDOWN_GRACE="0.1") as server,
        Connection(server.port) as stream,
        Connection(server.port) as whole,
    ):
        for connection, request_id, is_streamed in ((stream, f"{key}-s", True), (whole, f"{key}-w", False)):
            connection.post(chat("gated-generator", request_id, stream=is_streamed), request_id=request_id)
            server.wait_for(request_id, "blocked")
        server.send(signal.SIGTERM)
        for connection in (stream, whole):
            connection.read_to_end()
        server.wait()

        lines = [line for request_id in (f"{key}-s", f"{key}-w") for line in server.lines_of(request_id)]
    ends = [(line["status"], line["ended"], line["error"]) for line in lines]
    assert ends == [(200, "error", "overloaded"), (503, "error", "overloaded")]
