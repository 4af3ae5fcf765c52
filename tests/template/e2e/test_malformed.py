"""Requests that are malformed as HTTP: each gets an error in OpenAI's format, and the server goes on."""

import json
import socket
from http.client import HTTPResponse

import pytest

from tests.conftest import PATIENCE, until
from tests.template.e2e.connection import PATH, Connection, chat
from tests.template.e2e.server import Server

BODY = json.dumps(chat("function", "Hello!")).encode()
LENGTH = f"content-length: {len(BODY)}"
NOT_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x00" * 100,
    b"\xff" * 100,
]
TARGETS = ["*", "/\x00", "/\x7f", "/\N{SNOWMAN}", "/%00", "/%ff%fe", "/..", "//[", "/v1 /models", "v1/models"]
REQUEST_LINES = [
    *("Hello!", "{}", "GET", "post /v1/models HTTP/1.1", "CONNECT localhost:80 HTTP/1.1", "OPTIONS * HTTP/1.1"),
    *(f"{method} {PATH} HTTP/1.1" for method in ("GET", "PROPFIND", "TRACE", "CONNECT")),
    *(f"GET /v1/models {version}" for version in ("HTTP/9.9", "HTTP/x", "FTP/1.1")),
    *(f"GET {target} HTTP/1.1" for target in (*TARGETS, "http://", "http://[", "http://x:y/")),
]
HEADERS = [
    "content-length: -1",
    "content-length: x",
    "content-length: 1, 2",
    "content-length: 99999999999999999999999",
    "content-length:",
    "content-length: 1\r\ncontent-length: 2",
    "content-length: 5\r\ntransfer-encoding: chunked",
    "transfer-encoding: gzip",
    "transfer-encoding: chunked, gzip",
    "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    *(f"{LENGTH}\r\ncontent-type: {name}" for name in ("text/plain", "multipart/form-data; boundary=x", "\xff", "/")),
    *("no colon", ": no name", "spaced name: x", "name : x", "na\x00me: x", "n\xe9: x", "(name): x"),
    *("name: \x00", "name: \x01", "name: a\rb", "name: x\n\r\n"),
]
CHUNKS = [b"x\r\n", b"-1\r\n", b"f" * 18 + b"\r\n", b"1\r\nab\r\n", b"1 \r\n", b"1\r\n{\r\nz", b"\r\n", b"0x1\r\n"]
UPGRADES = ["websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "h2c", "x"]


def head(headers: str, method: str = "POST") -> bytes:
    return f"{method} {PATH} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n\r\n".encode("latin-1")


MALFORMED = [
    *NOT_HTTP,
    *(line.encode() + b"\r\n\r\n" for line in REQUEST_LINES),
    *(head(headers) + BODY for headers in HEADERS),
    *(head("transfer-encoding: chunked") + chunk for chunk in CHUNKS),
    *(head(f"connection: upgrade\r\nupgrade: {upgrade}", "GET") for upgrade in UPGRADES),
]


def mistake_in_answer(connection: socket.socket) -> str | None:
    """Return how the next answer differs from an error for the client, if it does."""
    with HTTPResponse(connection) as response:
        response.begin()
        body = response.read()
    if not 400 <= response.status < 500:
        return f"status {response.status}"
    if response.getheader("content-type") != "application/json":
        return f"content-type {response.getheader('content-type')}"
    if not response.getheader("x-request-id"):
        return "no id"
    error = json.loads(body)
    complete = error.keys() == {"error"} and error["error"].keys() == {"message", "type", "param", "code"}
    return None if complete else f"body {body!r}"


def test_malformed_http_is_answered_with_an_error_in_the_format_of_openai(server: Server) -> None:
    files, logged = server.census()["files"], len(server.lines)

    mistakes = {}
    for request in MALFORMED:
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
            connection.sendall(request)
            mistakes[request] = mistake_in_answer(connection)

    assert {request: mistake for request, mistake in mistakes.items() if mistake} == {}
    until(server.census, lambda census: census["files"] <= files)
    server.wait_until_idle()
    lines = server.lines[logged:]
    assert not [line for line in lines if "traceback" in line]
    refused = [line for line in lines if line["message"].startswith("Refused what 127.0.0.1:")]
    assert {line["status"] for line in refused} == {400}
    for reason in ("Invalid method encountered", "Invalid URL", "Duplicate Content-Length", "This is no proxy."):
        assert any(line["message"].endswith(f" sent: Invalid HTTP request: {reason}") for line in refused), reason


def test_a_connection_may_send_one_malformed_body_after_the_other(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        for body in (b"", b"{", b"[]", b"\xff", BODY[:-1], BODY + b"}", b"[" * 100_000, b'{"model": ""}') * 3:
            connection.sendall(head(f"content-length: {len(body)}") + body)
            assert mistake_in_answer(connection) is None, body[:100]


@pytest.mark.parametrize("waiting", [b"", b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"])
def test_malformed_http_during_a_stream_ends_it_and_adds_nothing_to_it(
    server: Server, key: str, waiting: bytes
) -> None:
    with Connection(server.port) as connection:
        connection.post(chat("gated-async-generator", key, stream=True))
        before = len(connection.read_until(b'"first"'))
        connection.send(waiting + b"\x00\r\n\r\n")
        rest = connection.read_to_end()[before:]

    assert b"HTTP/1.1" not in rest
    assert server.wait_for(key, "closed") == ["started", "closed"]
