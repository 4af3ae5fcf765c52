"""`litestar run --wc 2`: both processes serve and log, each keeps its own count, and they warn once."""

import time
from contextlib import ExitStack
from pathlib import Path

from tests.conftest import PATIENCE
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.server import SERVING, Server

AT_ONCE = 20
WORKERS = 2
EVERYWHERE = ("--host", "0.0.0.0")  # noqa: S104 - for as long as it takes to see what is said of it
WARNING = "No API_KEYS are set, and the server listens on 0.0.0.0: anyone who reaches it may use it."


def served(port: int, held: ExitStack) -> int:
    """Ask many times at once for what does not end, and return how many got it; they stay."""
    connections = [held.enter_context(Connection(port)) for _ in range(AT_ONCE)]
    for connection in connections:
        connection.post(chat("gated-async-generator", "Hello!", stream=True))
    heads = [connection.read_until(b"\r\n\r\n").split()[1] for connection in connections]
    assert set(heads) <= {b"200", b"503"}
    return heads.count(b"200")


def test_a_limit_is_each_workers_own_and_all_write_nothing_but_json_and_warn_once(tmp_path: Path) -> None:
    settings = {"MAX_CONCURRENT_COMPLETIONS": "1", "LOG_FORMAT": "json"}
    settings["COVERAGE_PROCESS_CONFIG"] = ""  # of a tracer, Litestar's command says a line of its own
    options = ("--wc", str(WORKERS), *EVERYWHERE)
    with Server(tmp_path / "log", *options, app=SERVING, **settings) as server, ExitStack() as held:
        count, deadline = 0, time.monotonic() + PATIENCE
        while count < WORKERS and time.monotonic() < deadline:  # which of them takes a connection is chance
            count += served(server.port, held)
        assert count == WORKERS
        assert served(server.port, held) == 0
        held.close()
        server.models()

    assert server.log.endswith("\n")
    messages = [line["message"] for line in server.lines]
    assert messages.count("Application startup complete.") == WORKERS
    assert "GET /v1/models 200" in messages
    (warning,) = [line for line in server.lines if "API_KEYS" in line["message"]]
    assert (warning["level"], warning["message"]) == ("WARNING", WARNING)
