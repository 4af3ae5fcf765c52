"""Connections on which no complete request arrives, one that is too large, or many at once, or nothing is read."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import PATIENCE, until
from tests.template.e2e.connection import PATH, Connection, chat, head_of
from tests.template.e2e.server import SERVING, Server
from tests.template.e2e.serving import FLOOD

HEAD = head_of(10_000)
CHUNKED = HEAD.replace(b"content-length: 10000", b"transfer-encoding: chunked")
OPEN_HEAD = HEAD.removesuffix(b"\r\n")
REQUEST = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"
INCOMPLETE = {  # what is sent at once, and what follows byte by byte
    "nothing": (b"", b""),
    "a head that stops": (HEAD[:50], b""),
    "a head that goes on": (b"", OPEN_HEAD + b"x-long: " + b"x" * 1000),
    "an empty line": (b"\r\n", b""),
    "empty lines that go on": (b"", b"\r\n" * 1000),
    "a body that stops": (HEAD + b"{", b""),
    "a body that goes on": (HEAD, b" " * 1000),
    "a chunk that goes on": (CHUNKED + b"fff\r\n", b" " * 1000),
    "chunks that go on": (CHUNKED, b"1\r\n \r\n" * 200),
    "a body after its answer": (b"POST /nope HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n", b"{}"),
}
TOO_LARGE = {
    "one header": OPEN_HEAD + b"x: " + b"x" * 10_000 + b"\r\n\r\n",
    "many headers": OPEN_HEAD + b"x: x\r\n" * 5000 + b"\r\n",
    "a name": OPEN_HEAD + b"x" * 10_000 + b": x\r\n\r\n",
    "the path": b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "the query": b"GET /v1/models?" + b"x" * 10_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
}
ENDLESS = {
    "headers": (OPEN_HEAD + b"x: ", b"HTTP/1.1 431 "),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\nx: ", b""),  # after which the answer may be lost
}
UPGRADES = {
    "h2c": "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    "websocket": "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n",
}


def drip(port: int, begun: bytes, rest: bytes, *, answered: bool) -> bytes:
    """Send a part of a request at once and the rest byte by byte, and return what comes until the connection ends."""
    with Connection(port) as connection:
        if answered:
            connection.send(REQUEST)
            connection.read_until(b"]}")
            connection.received = b""
        connection.send(begun)
        with suppress(ConnectionError):
            for byte in rest:
                if not connection.is_silent and not connection.read():
                    break
                connection.send(bytes([byte]))
                time.sleep(0.05)
            connection.read_to_end()
        return connection.received


def test_a_connection_without_a_complete_request_is_cut_while_others_are_answered(strict: Server) -> None:
    before = strict.census()["files"]
    ways = [(way, answered) for answered in (False, True) for way in INCOMPLETE.values()]
    ways.remove((INCOMPLETE["nothing"], True))  # for which uvicorn has a limit of its own
    with ThreadPoolExecutor(len(ways)) as threads:
        waiting = [threads.submit(drip, strict.port, *way, answered=answered) for way, answered in ways]
        while not all(each.done() for each in waiting):
            answer = httpx.post(strict.url + PATH, json=chat("generator", "Hello!", stream=True), timeout=PATIENCE)
            assert answer.text.endswith("data: [DONE]\n\n")
            time.sleep(0.05)

    statuses = {each.result()[:13] for each in waiting if each.result()}
    assert statuses <= {b"HTTP/1.1 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 408 "}
    until(strict.census, lambda now: now["files"] <= before)
    strict.wait_until_idle()


@pytest.mark.parametrize("request_head", TOO_LARGE.values(), ids=TOO_LARGE)
def test_headers_over_the_limit_are_refused(strict: Server, request_head: bytes) -> None:
    with Connection(strict.port) as connection:
        connection.send(request_head)
        head, _, body = connection.read_to_end().partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    error = json.loads(body)["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "request_headers_too_large")


@pytest.mark.parametrize(("begun", "answer"), ENDLESS.values(), ids=ENDLESS)
def test_headers_and_trailers_that_never_end_are_cut_off(strict: Server, begun: bytes, answer: bytes) -> None:
    with Connection(strict.port) as connection:
        connection.send(begun)
        with suppress(ConnectionError):
            for _ in range(1000):
                connection.send(b"x" * 1000)
                if not connection.is_silent:
                    break
        with suppress(ConnectionError):
            connection.read_to_end()

    assert connection.received.startswith(answer)
    assert b"200 OK" not in connection.received


def test_headers_below_the_limit_are_taken_in_each_of_several_requests(strict: Server) -> None:
    headers = {f"x-{number}": "x" * 1000 for number in range(7)}
    with httpx.Client(base_url=strict.url, headers=headers) as client:
        assert [client.get("/v1/models").status_code for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_that_follows_its_head_is_no_header(strict: Server, chunked: bool) -> None:
    body = json.dumps(chat("function", "x" * 9000)).encode()
    with Connection(strict.port) as connection:
        connection.send(CHUNKED if chunked else head_of(len(body)))
        assert strict.models()  # by then it has read the head
        connection.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)
        assert connection.read_until(b"Hello, world").startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("size", [10, 9000])
def test_a_body_in_chunks_over_the_limit_is_refused(strict: Server, size: int) -> None:
    with Connection(strict.port) as connection:
        connection.send(CHUNKED + b"%x\r\n%b\r\n" % (size, b"x" * size) * (20_000 // size) + b"0\r\n\r\n")
        answer = connection.read_until(b"}}")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_too_large"


def numbered(*numbers: int) -> bytes:
    """Return requests whose answers name their numbers."""
    return b"".join(b"GET /v1/models/%d HTTP/1.1\r\nhost: localhost\r\n\r\n" % number for number in numbers)


def statuses_of(received: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1.1 (\d+)", received)


def held(key: str) -> bytes:
    """Return a request whose answer ends when the gate of its run is opened."""
    body = json.dumps(chat("gated-async-generator", key, stream=True)).encode()
    return head_of(len(body)) + body


def test_requests_that_wait_are_answered_in_order_and_nothing_more_is_read_meanwhile(server: Server, key: str) -> None:
    with Connection(server.port) as connection:
        connection.send(held(key) + numbered(*range(60)))
        connection.read_until(b"first")
        connection.send(numbered(*range(60, 120)))
        assert server.models()  # by then it would have read that more than 100 wait
        server.open_gate(key)
        connection.read_until(b"'119'")

    assert re.findall(rb"The model '(\d+)'", connection.received) == [b"%d" % number for number in range(120)]


def test_a_connection_on_which_too_many_requests_wait_is_closed(server: Server, key: str) -> None:
    with Connection(server.port) as connection:
        connection.send(held(key) + numbered(*range(101)))
        with suppress(ConnectionError):
            connection.read_to_end()

    assert server.wait_for(key, "closed") == ["started", "closed"]
    assert connection.received.count(b"HTTP/1.1") <= 1


def test_a_completion_is_stopped_if_its_client_leaves_while_requests_wait(server: Server, key: str) -> None:
    with Connection(server.port) as connection:
        body = json.dumps(chat("endless-async-generator", key, stream=True)).encode()
        connection.send(head_of(len(body)) + body + REQUEST)
        connection.read_until(b"more")

    assert server.wait_for(key, "closed") == ["started", "closed"]


def test_a_request_that_waits_has_its_time_when_it_is_read(strict: Server, key: str) -> None:
    with Connection(strict.port) as connection, Connection(strict.port) as later:
        connection.send(held(key) + numbered(1) + HEAD + b"{")
        connection.read_until(b"first")
        later.send(HEAD)
        later.read_to_end()  # its time is over
        strict.open_gate(key)
        connection.read_to_end()

    assert b"[DONE]" in connection.received
    assert b"The model '1'" in connection.received


@pytest.mark.parametrize("step", [1, 50_000])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
def test_an_upgrade_is_ignored_and_the_body_is_no_request(
    server: Server, upgrade: str, chunked: bool, step: int
) -> None:
    sent = b""
    for body in (json.dumps(chat("function", "Hello!")).encode(), numbered(1), b"{"):
        head = head_of(len(body), more=upgrade)
        if chunked:
            head = head.replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
        sent += head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)
    sent += numbered(2).replace(b"\r\n\r\n", f"\r\n{upgrade}\r\n".encode()) + numbered(3)
    with Connection(server.port) as connection:
        for start in range(0, len(sent), step):
            connection.send(sent[start : start + step])
        received = connection.read_until(b"'3'")

    assert statuses_of(received) == [b"200", b"400", b"400", b"404", b"404"]
    assert b"Hello, world" in received


def test_nothing_that_follows_a_request_for_a_tunnel_is_taken_for_a_request(server: Server) -> None:
    with Connection(server.port) as connection:
        connection.send(b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\n\r\n" + numbered(1))
        assert statuses_of(connection.read_to_end()) == [b"400"]


def test_a_client_that_reads_nothing_is_cut_and_its_work_stopped_and_one_that_reads_slowly_is_not(
    strict: Server, key: str
) -> None:
    before, slowly, cut = strict.census()["files"], f"{key}-slowly", strict.log.count("Cut off 127.0.0.1:")
    with Connection(strict.port, receive_buffer=65536) as slow, ExitStack() as stack:
        slow.post(chat("async-flood", slowly, stream=True))
        for model, stream in (("flood", True), ("flood", True), ("async-flood", True), ("async-flood", False)):
            unread = stack.enter_context(Connection(strict.port, receive_buffer=65536))
            unread.post(chat(model, key, stream=stream))
        while strict.events(key) != ["closed"] * 4 or strict.census()["files"] > before + 1:
            assert slow.skip()
            time.sleep(0.02)
        while not strict.events(slowly):
            assert slow.skip()
    assert strict.items(slowly) == FLOOD
    assert strict.log.count("Cut off 127.0.0.1:") == cut + 4

    with Connection(strict.port) as connection:
        connection.post(chat("generator", "Hello!"))
        assert connection.read_until(b"Hello, world").startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_completion_over_its_time_whose_client_reads_nothing_is_cut(tmp_path: Path, key: str) -> None:
    settings = {"COMPLETION_TIMEOUT": "0.5", "WRITE_TIMEOUT": "1", "SYNC_WORKERS": "1"}
    with Server(tmp_path / "log", app=SERVING, **settings) as server:
        before = server.census()["files"]
        with Connection(server.port, receive_buffer=65536) as unread:
            unread.post(chat("flood", key, stream=True), request_id=key)
            server.wait_for(key, "closed")
            until(server.census, lambda now: now["files"] <= before)
            server.wait_until_idle()
            (line,) = server.lines_of(key)
            assert line["error"] == "timeout"


def test_head_is_answered_without_a_body(server: Server) -> None:
    with Connection(server.port) as connection:
        connection.send(REQUEST.replace(b"GET", b"HEAD") + numbered(1))
        head, _, _ = connection.read_until(b"'1'").partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 0" not in head
    assert connection.received.removeprefix(head).startswith(b"\r\n\r\nHTTP/1.1 404 ")


@pytest.mark.parametrize("model", ["generator", "late-failure", "nope"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_to_http_1_0_has_no_chunks_and_ends_with_its_connection(
    talkative: Server, key: str, model: str, stream: bool
) -> None:
    talkative.open_gate(key)
    body = json.dumps(chat(model, key, stream=stream)).encode()
    with Connection(talkative.port) as connection:
        connection.send(head_of(len(body), more="connection: keep-alive\r\n").replace(b"HTTP/1.1", b"HTTP/1.0") + body)
        head, _, sent = connection.read_to_end().partition(b"\r\n\r\n")

    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert fields[b"connection"] == b"close"
    assert b"transfer-encoding" not in fields
    if fields[b"content-type"] == b"application/json":
        assert int(fields[b"content-length"]) == len(json.loads(sent) and sent)
    else:
        frames = sent.split(b"\n\n")
        assert frames[-2:] == [b"data: [DONE]", b""]
        assert all(frame.startswith((b"data: {", b": ")) for frame in frames[:-2])
