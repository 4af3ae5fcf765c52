from contextlib import ExitStack

import pytest
from openai import APIError, APIStatusError, InternalServerError

from tests.e2e.clients import client_of, says
from tests.e2e.connection import Connection, chat
from tests.e2e.server import Server


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
