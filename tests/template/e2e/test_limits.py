import json
from contextlib import ExitStack, suppress

import httpx
import pytest
from openai import APIError, APIStatusError, InternalServerError

from tests.template.e2e.clients import client_of, says
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.server import Server


def test_more_completions_at_once_than_allowed_are_refused(strict: Server, key: str) -> None:
    with Connection(strict.port) as first, client_of(strict) as client:
        first.post(chat("gated-async-generator", key, stream=True))
        strict.wait_for(key, "started")

        with pytest.raises(InternalServerError) as caught:
            client.chat.completions.create(model="function", messages=says("Hello!"))

    assert (caught.value.status_code, caught.value.type, caught.value.code) == (503, "server_error", "overloaded")
    assert int(caught.value.response.headers["retry-after"]) > 0
    strict.wait_for(key, "closed")


def test_a_completion_that_takes_too_long_is_stopped(strict: Server, key: str) -> None:
    with client_of(strict) as client, pytest.raises(InternalServerError) as caught:
        client.chat.completions.create(model="gated-async-function", messages=says(key))

    assert (caught.value.status_code, caught.value.type, caught.value.code) == (504, "server_error", "timeout")
    assert strict.wait_for(key, "closed") == ["started", "closed"]


def test_a_stream_that_takes_too_long_ends_with_an_error(strict: Server, key: str) -> None:
    with client_of(strict) as client:
        stream = client.chat.completions.create(model="gated-async-generator", messages=says(key), stream=True)
        with pytest.raises(APIError) as caught:
            list(stream)

    assert (caught.value.type, caught.value.code) == ("server_error", "timeout")
    assert strict.wait_for(key, "closed") == ["started", "closed"]


def test_a_body_over_the_limit_is_refused(strict: Server) -> None:
    with client_of(strict) as client, pytest.raises(APIStatusError) as caught:
        client.chat.completions.create(model="function", messages=says("x" * 20000))

    assert (caught.value.status_code, caught.value.type, caught.value.code) == (
        413,
        "invalid_request_error",
        "request_too_large",
    )


def test_connections_that_send_no_complete_request_are_cut(strict: Server) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(strict.port)) for _ in range(3)]
        for connection, begun in zip(connections, (b"", head, head + b"content-length: 9\r\n\r\n{"), strict=True):
            connection.send(begun)

        assert not [connection for connection in connections if b"200 OK" in connection.read_to_end()]


def test_a_connection_that_was_answered_before_its_body_came_is_cut(strict: Server) -> None:
    with Connection(strict.port) as connection:
        connection.send(b"POST /nope HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n")
        connection.read_until(b"}}")
        connection.send(b"{}")

        assert connection.read_to_end().startswith(b"HTTP/1.1 404 ")


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
LARGE = {
    "one header": HEAD + b"x: " + b"x" * 10_000 + b"\r\n\r\n",
    "many headers": HEAD + b"x: x\r\n" * 5000 + b"\r\n",
    "a name": HEAD + b"x" * 10_000 + b": x\r\n\r\n",
    "the first line": b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "the query": b"GET /v1/models?" + b"x" * 10_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
}
REFUSED = b"HTTP/1.1 431 Request Header Fields Too Large\r\n"


@pytest.mark.parametrize("request_head", LARGE.values(), ids=LARGE)
def test_headers_over_the_limit_are_refused(strict: Server, request_head: bytes) -> None:
    with Connection(strict.port) as connection:
        connection.send(request_head)
        head, _, body = connection.read_to_end().partition(b"\r\n\r\n")

    assert head.startswith(REFUSED)
    error = json.loads(body)["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "request_headers_too_large")


def test_headers_that_never_end_are_refused(strict: Server) -> None:
    with Connection(strict.port) as connection:
        connection.send(HEAD + b"x: ")
        with suppress(ConnectionError):
            for _ in range(1000):
                connection.send(b"x" * 1000)
                if not connection.is_silent:
                    break

        with suppress(ConnectionError):
            connection.read_to_end()

    assert connection.received.startswith(REFUSED)


def test_trailers_that_never_end_are_cut_off(strict: Server) -> None:
    body = b"2\r\n{}\r\n0\r\nx: "
    with Connection(strict.port) as connection:
        connection.send(HEAD + b"transfer-encoding: chunked\r\n\r\n" + body)
        with suppress(ConnectionError):
            for _ in range(1000):
                connection.send(b"x" * 1000)
                if not connection.is_silent:
                    break

        with suppress(ConnectionError):
            connection.read_to_end()

    assert b"200 OK" not in connection.received


def test_large_headers_below_the_limit_are_taken(strict: Server) -> None:
    headers = {f"x-{number}": "x" * 1000 for number in range(7)}

    for _ in range(3):
        assert httpx.get(f"{strict.url}/v1/models", headers=headers).status_code == 200


def test_a_large_body_is_no_header(strict: Server) -> None:
    with client_of(strict) as client:
        completion = client.chat.completions.create(model="function", messages=says("x" * 9000))

    assert completion.choices[0].message.content


@pytest.mark.parametrize("size", [10, 1000, 9000])
def test_a_body_in_chunks_over_the_limit_is_refused(strict: Server, size: int) -> None:
    with Connection(strict.port) as connection:
        connection.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(20_000 // size):
            connection.send(b"%x\r\n%b\r\n" % (size, b"x" * size))
        connection.send(b"0\r\n\r\n")

        assert b"request_too_large" in connection.read_until(b"}}")
        assert connection.received.startswith(b"HTTP/1.1 413 ")
