"""The Responses API over a WebSocket, by OpenAI's client and by raw messages."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from schemas.chat import Json
from tests.conftest import KEY, PATIENCE, until
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.server import SERVING, Server

MODEL = "echo-async-generator"
TERMINAL = ("error", "response.completed", "response.failed", "response.incomplete")
HANDSHAKE = (
    b"GET /v1/responses HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("websocket") / "log"
    with Server(log, app=SERVING, MAX_BODY_SIZE="100000") as server:
        yield server


@pytest.fixture
def socket(server: Server) -> Iterator[Any]:
    with opened(server) as socket:
        yield socket


def opened(server: Server, path: str = "/v1/responses", **headers: str) -> Any:
    url = server.url.replace("http", "ws") + path
    return connect(url, additional_headers=headers, open_timeout=PATIENCE, max_size=None)


def create(socket: Any, input: object = "One two", **fields: object) -> None:
    socket.send(json.dumps({"type": "response.create", "model": MODEL, "input": input, **fields}))


def received(socket: Any) -> list[Json]:
    """Return the events up to the one that ends a response."""
    events: list[Json] = []
    while not events or events[-1]["type"] not in TERMINAL:
        events.append(json.loads(socket.recv(PATIENCE)))
    return events


def asked(socket: Any, input: object = "One two", **fields: object) -> Json:
    """Return the last event of a response."""
    create(socket, input, **fields)
    return received(socket)[-1]


def text_of(event: Json) -> str:
    text: str = event["response"]["output"][-1]["content"][0]["text"]
    return text


def test_openais_client_makes_one_response_after_another(server: Server) -> None:
    with server.openai() as client, client.responses.connect() as connection:
        previous: Any = None
        for words in ("One two", "Three"):
            connection.response.create(model=MODEL, input=words, previous_response_id=previous, store=False)
            for event in connection:
                if event.type == "response.output_text.done":
                    assert event.text == f"{words} "
                if event.type == "response.completed":
                    previous = event.response.id
                    break


@pytest.mark.parametrize("path", ["/v1/responses", "/responses/"])
def test_the_events_are_those_of_a_stream(server: Server, path: str) -> None:
    body: Json = {"model": MODEL, "input": "One two", "stream": True}
    streamed = httpx.post(f"{server.url}{path}", json=body, timeout=PATIENCE).text
    with opened(server, path) as socket:
        create(socket)
        assert [event["type"] for event in received(socket)] == [
            line.removeprefix("event: ") for line in streamed.splitlines() if line.startswith("event: ")
        ]


def test_a_message_that_cannot_wait_is_refused_by_its_stream_id(socket: Any) -> None:
    create(socket, "full", model="gated-async-generator")
    until(lambda: json.loads(socket.recv(PATIENCE))["type"], lambda kind: kind == "response.output_text.delta")
    for number in range(5):
        create(socket, stream_id=f"lane-{number}")
    refused = received(socket)[-1]
    assert (refused["status"], refused["stream_id"]) == (429, "lane-4")


def test_a_message_must_be_text(socket: Any) -> None:
    socket.send(b"{}")
    assert "must be text" in received(socket)[-1]["error"]["message"]


def test_messages_are_answered_in_turn_each_with_its_stream_id(socket: Any) -> None:
    for number in range(3):
        create(socket, f"Number {number}", stream_id=f"lane-{number}")
    for number in range(3):
        events = received(socket)
        assert text_of(events[-1]) == f"Number {number} "
        assert {event["stream_id"] for event in events} == {f"lane-{number}"}


def test_a_warm_up_asks_no_model_and_can_be_continued(socket: Any) -> None:
    warmed = asked(socket, [], generate=False, instructions="Be brief.")
    assert (warmed["type"], warmed["response"]["output"]) == ("response.completed", [])
    assert text_of(asked(socket, "Go", previous_response_id=warmed["response"]["id"])) == "Go "


WRONG: dict[str, tuple[str, int, str]] = {
    "no JSON": ("{", 400, "not valid JSON"),
    "another event": ('{"type": "response.steer"}', 400, "'response.create'"),
    "a stream id": ('{"type": "response.create", "stream_id": ""}', 400, "'stream_id'"),
    "background": (
        '{"type": "response.create", "model": "burst", "input": "Hi", "background": true}',
        400,
        "background",
    ),
    "no input": ('{"type": "response.create", "model": "burst"}', 400, "'input'"),
    "no such model": ('{"type": "response.create", "model": "none", "input": "Hi"}', 404, "none"),
    "a failure": ('{"type": "response.create", "model": "crash", "input": "Hi"}', 500, "The server had an error"),
}


def test_what_is_wrong_is_an_error_and_the_connection_goes_on(socket: Any) -> None:
    for message, status, words in WRONG.values():
        socket.send(message)
        (event,) = received(socket)
        assert (event["type"], event["status"]) == ("error", status)
        assert words in event["error"]["message"]
        assert isinstance(event["error"]["code"], str)
    assert asked(socket)["type"] == "response.completed"


def test_a_connection_needs_a_key_and_its_messages_are_limited_as_requests_are(tmp_path: Path) -> None:
    with Server(tmp_path / "log", app=SERVING, API_KEYS=KEY, REQUESTS_PER_MINUTE="1") as server:
        for headers in ({}, {"authorization": "Bearer wrong"}):
            with pytest.raises(InvalidStatus) as caught:
                opened(server, **headers)
            assert caught.value.response.status_code == 401
            assert caught.value.response.headers["x-request-id"]
        with opened(server, authorization=f"Bearer {KEY}") as socket:
            assert asked(socket)["type"] == "response.completed"
            limited = asked(socket)
    assert (limited["status"], limited["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(limited["error"]["headers"]["retry-after"]) > 0
    assert not [line for line in server.lines if line["level"] == "ERROR"]


def test_a_page_of_another_site_makes_no_response(server: Server) -> None:
    with opened(server, origin="https://evil.example") as socket:
        event = asked(socket)
    assert (event["type"], event["status"]) == ("error", 403)


def test_a_message_is_as_large_as_a_body_may_be(server: Server) -> None:
    with opened(server) as socket:
        create(socket, "x" * 200_000)
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(PATIENCE)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009


def test_a_client_that_leaves_ends_its_response(server: Server) -> None:
    with opened(server) as socket:
        create(socket, "left", model="endless-async-generator")
        until(lambda: json.loads(socket.recv(PATIENCE))["type"], lambda kind: kind == "response.output_text.delta")
    server.wait_for("left", "closed")
    server.wait_until_idle()


def test_a_server_that_stops_lets_a_response_end_and_closes_its_connections(tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(Server(tmp_path / "log", app=SERVING, SHUTDOWN_GRACE="30"))
        busy, idle = (stack.enter_context(opened(server)) for _ in range(2))
        create(busy, model="brief")
        until(lambda: json.loads(busy.recv(PATIENCE))["type"], lambda kind: kind == "response.output_text.delta")
        server.send(signal.SIGTERM)
        assert received(busy)[-1]["type"] == "response.completed"
        for socket in (busy, idle):
            with pytest.raises(ConnectionClosed) as caught:
                socket.recv(PATIENCE)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
        server.wait()


def raw(server: Server) -> Connection:
    """Return a WebSocket whose client takes little."""
    connection = Connection(server.port, receive_buffer=4096)
    connection.send(HANDSHAKE)
    connection.read_until(b"\r\n\r\n")
    return connection


def test_pings_of_a_client_that_reads_nothing_are_not_all_answered(server: Server) -> None:
    ping, frames = b"\x89\xfd\0\0\0\0" + b"x" * 125, 150_000  # some 20 MB, which no buffer of the system holds
    with raw(server) as connection:
        for _ in range(frames // 1000):
            connection.send(ping * 1000)
        connection.send(b"\x81\x81\0\0\0\0{")
        received = connection.read_until(b'"error"')
    assert received.count(b"\x8a\x7d") < frames * 3 / 4


def test_a_handshake_behind_a_request_that_is_being_answered_is_a_request_too(server: Server) -> None:
    with Connection(server.port) as connection:
        connection.post(chat("gated-async-generator", "behind", stream=True))
        server.wait_for("behind", "started")
        connection.send(HANDSHAKE)
        server.open_gate("behind")
        received = connection.read_until(b"HTTP/1.1 405")
    assert b"[DONE]" in received
    assert b" 101 " not in received


def test_a_handshake_with_a_body_is_a_request(server: Server) -> None:
    with Connection(server.port) as connection:
        connection.send(HANDSHAKE[:-2] + b"content-length: 3\r\n\r\nabc")
        connection.read_until(b"HTTP/1.1 405")


def test_other_paths_and_methods_have_no_websocket(server: Server) -> None:
    with pytest.raises(InvalidStatus) as caught:
        opened(server, "/v1/chat/completions")
    assert caught.value.response.status_code == 405
