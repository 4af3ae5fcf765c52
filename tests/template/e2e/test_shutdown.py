"""A server that is told to stop: what runs may finish, what does not is told, and nobody keeps the process alive."""

import json
import signal
from contextlib import ExitStack
from pathlib import Path

from tests.template.e2e.connection import Connection, chat, head_of
from tests.template.e2e.server import MISHAPS, SERVING, Server

QUESTION = b'{"model":"function","messages":[{"role":"user","content":"Hello!"}]}'
ENDLESS = ["endless-async-generator", "endless-generator", "gated-async-generator", "gated-generator"]
WHOLE = ["gated-async-function", "blocking-function", "late-async-generator", "late-generator", "hog"]
GREEDY = ["flood", "async-flood", "hog"]
BEGUN = [b"", b"POST ", head_of(9), head_of(9) + b"{"]


def outcome(server: Server) -> str:
    """Ask a server that may have closed its socket, and return the status of the answer."""
    try:
        with Connection(server.port) as connection:
            connection.post(chat("function", "Hello!"))
            return connection.read_to_end().split(b" ")[1].decode()
    except (ConnectionError, IndexError):
        return "refused"


def test_streams_run_to_their_end_after_the_signal_and_nothing_new_is_begun(tmp_path: Path) -> None:
    with Server(tmp_path / "log", app=SERVING) as server, ExitStack() as stack:
        late, *streams = [stack.enter_context(Connection(server.port)) for _ in range(10)]
        late.send(head_of(len(QUESTION)) + QUESTION[:-1])
        for stream in streams:
            stream.post(chat("brief", "Hello!", stream=True))
        for stream in streams:
            stream.read_until(b"data: ")

        server.send(signal.SIGTERM)
        server.wait_for_log("Shutting down")
        late.send(QUESTION[-1:])
        refused, strangers = late.read_to_end(), {outcome(server) for _ in range(5)}
        answers = [stream.read_to_end() for stream in streams]
        assert server.wait() == 0

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in refused
    assert json.loads(refused.partition(b"\r\n\r\n")[2])["error"]["code"] == "overloaded"
    assert strangers <= {"refused", "503"}
    assert [answer.count(b'"content":') for answer in answers] == [51] * len(streams)
    assert {answer.partition(b"data: [DONE]")[2] for answer in answers} == {b"\n\n\r\n0\r\n\r\n"}
    assert "Application shutdown complete" in server.log


def test_what_outlasts_the_grace_ends_with_an_error(tmp_path: Path) -> None:
    with Server(tmp_path / "log", app=SERVING, SHUTDOWN_GRACE="0.1") as server, ExitStack() as stack:
        streams = [stack.enter_context(Connection(server.port)) for _ in ENDLESS * 3]
        waiting = [stack.enter_context(Connection(server.port)) for _ in WHOLE]
        for connection, model in zip(streams, ENDLESS * 3, strict=True):
            connection.post(chat(model, "Hello!", stream=True))
            connection.read_until(b"data: ")
        for connection, model in zip(waiting, WHOLE, strict=True):
            connection.post(chat(model, model))
            server.wait_for(model, "started")

        server.send(signal.SIGTERM)
        streamed = [connection.read_to_end() for connection in streams]
        refused = [connection.read_to_end().partition(b"\r\n\r\n") for connection in waiting]
        assert server.wait() == 0
        ends = [(line["status"], line["ended"], line["error"]) for line in server.lines if "ended" in line]

    assert sorted(ends) == [(200, "error", "overloaded")] * len(streams) + [(503, "error", "overloaded")] * len(waiting)

    for answer in streamed:
        _, error, done = answer.rsplit(b"data: ", 2)
        assert error.startswith(b'{"error":{"message":"The server is shutting down.')
        assert (done.split(), b'"finish_reason":"' in answer) == ([b"[DONE]", b"0"], False)
    for head, _, body in refused:
        assert (head[:13], b"retry-after: " in head) == (b"HTTP/1.1 503 ", True)
        assert json.loads(body)["error"]["code"] == "overloaded"


def test_a_model_that_never_stops_and_clients_that_neither_read_nor_write_do_not_keep_the_process_alive(
    tmp_path: Path,
) -> None:
    with Server(tmp_path / "log", app=SERVING, SHUTDOWN_GRACE="0.1") as server, ExitStack() as stack:
        for model in GREEDY * 3:
            reader = stack.enter_context(Connection(server.port, receive_buffer=4096))
            reader.post(chat(model, "Hello!", stream=True))
            reader.read_until(b"data: ")
        writers = [stack.enter_context(Connection(server.port)) for _ in BEGUN]
        for writer, begun in zip(writers, BEGUN, strict=True):
            writer.send(begun)
        asking = stack.enter_context(Connection(server.port))
        asking.post(chat("stubborn-function", "stubborn"))
        server.wait_for("stubborn", "started")
        assert server.models()

        server.send(signal.SIGTERM)
        assert server.wait() == 0

    assert server.log.count("The model 'stubborn-function' has not stopped") == 1
    assert not [mishap for mishap in (*MISHAPS, "graceful shutdown exceeded") if mishap in server.log], server.log
