"""A server with keys, and clients with right ones, wrong ones and none."""

from collections.abc import Iterator

import httpx
import pytest
from openai import AuthenticationError

from tests.template.e2e.clients import client_of, says
from tests.template.e2e.connection import Connection
from tests.template.e2e.server import Server

KEYS = ["sk-first-of-two", "sk-second-of-two"]
WRONG = [
    b"",
    b"authorization:\r\n",
    b"authorization: Bearer\r\n",
    b"authorization: Bearer sk-third\r\n",
    b"authorization: Basic c2stZmlyc3Qtb2YtdHdvOg==\r\n",
    b"authorization: sk-first-of-two\r\n",
    b"authorization: Bearer sk-first-of-two\r\nauthorization: Bearer sk-first-of-two\r\n",
    b"authorization: Bearer \xff\xfe\x80\r\n",
    b"authorization: Bearer sk-first-of-tw\xc3\xb6\r\n",
    b"authorization: Bearer \t \t\r\n",
    b"authorization: Bearer " + b"x" * 30_000 + b"\r\n",
    b"proxy-authorization: Bearer sk-first-of-two\r\n",
    b"x-api-key: sk-first-of-two\r\n",
]
NOT_HTTP = [b"authorization: Bearer \x00\r\n", b"authorization: Bearer sk\x01\r\n", b"authorization : Bearer sk\r\n"]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one key in the environment and one in a file, and two workers."""
    folder = tmp_path_factory.mktemp("closed")
    (folder / "keys").write_text(f"# of the tests\n{KEYS[1]}\n")
    settings = {"API_KEYS": KEYS[0], "API_KEYS_FILE": str(folder / "keys"), "LOG_LEVEL": "DEBUG"}
    with Server.with_own_models(folder / "log", 2, **settings) as running:
        yield running


def get(server: Server, headers: bytes) -> bytes:
    """The answer to a request with these headers."""
    with Connection(server.port) as connection:
        connection.send(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n%b\r\n" % headers)
        return connection.read_to_end()


@pytest.mark.parametrize("key", KEYS)
def test_a_client_with_a_key_is_answered(closed: Server, key: str) -> None:
    with client_of(closed, key=key) as client:
        whole = client.chat.completions.create(model="generator", messages=says("Hello!"))
        stream = client.chat.completions.create(model="generator", messages=says("Hello!"), stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    assert whole.choices[0].message.content == text == "Hello, world"


@pytest.mark.parametrize("path", ["/v1", ""])
def test_a_client_with_another_key_is_told_so(closed: Server, path: str) -> None:
    with client_of(closed, path, key="sk-nobodys") as client:
        for stream in (False, True):
            with pytest.raises(AuthenticationError) as caught:
                client.chat.completions.create(model="generator", messages=says("Hello!"), stream=stream)
            assert (caught.value.type, caught.value.code) == ("invalid_request_error", "invalid_api_key")
            assert caught.value.response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("headers", WRONG)
def test_whatever_else_is_sent_for_a_key_is_refused(closed: Server, headers: bytes) -> None:
    answer = get(closed, headers)

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b'"code":"invalid_api_key"' in answer


@pytest.mark.parametrize("headers", NOT_HTTP)
def test_what_no_header_may_hold_is_not_http(closed: Server, headers: bytes) -> None:
    assert get(closed, headers).startswith(b"HTTP/1.1 400 ")


def test_a_large_body_without_a_key_is_refused_before_it_is_read(closed: Server) -> None:
    with Connection(closed.port) as connection:
        connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10000000\r\n\r\n")

        assert connection.read_until(b"\r\n").startswith(b"HTTP/1.1 401 ")


def test_no_key_is_in_the_log(closed: Server) -> None:
    with client_of(closed, key="sk-nobodys") as client, pytest.raises(AuthenticationError):
        client.models.list()
    httpx.get(f"{closed.url}/v1/models", headers={"authorization": f"Bearer {KEYS[0]}"}).raise_for_status()

    assert closed.wait_for_log('"status":401')
    assert not [key for key in (*KEYS, "sk-nobodys") if key in closed.log]
