"""A server with keys, one of them in a file: what only raw bytes and the log can show."""

from collections.abc import Iterator

import httpx
import pytest

from tests.template.e2e.connection import Connection
from tests.template.e2e.server import Server

KEYS = ["sk-first-of-two", "sk-second-of-two"]
NOBODYS = "sk-nobodys"
HEADERS = {
    b"authorization: Bearer sk-first-of-two\r\n": b"200",
    b"authorization: Bearer sk-second-of-two\r\n": b"200",
    b"authorization:\r\n": b"401",
    b"authorization: Bearer sk-first-of-two\r\nauthorization: Bearer sk-first-of-two\r\n": b"401",
    b"authorization: Bearer sk-first-of-two\r\nauthorization: Bearer sk-nobodys\r\n": b"401",
    b"authorization: Bearer sk-first-of-two\r\nhost: localhost\r\n": b"400",  # which is the second
    b"authorization: Bearer \x00\r\n": b"400",
    b"authorization: Bearer sk\x01\r\n": b"400",
    b"authorization : Bearer sk\r\n": b"400",
}


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one key in the environment and one in a file, that others could reach."""
    folder = tmp_path_factory.mktemp("closed")
    (folder / "keys").write_text(f"# of the tests\n{KEYS[1]}\n")
    settings = {"API_KEYS": KEYS[0], "API_KEYS_FILE": str(folder / "keys"), "LOG_LEVEL": "DEBUG", "LOG_FORMAT": "text"}
    settings["ALLOWED_HOSTS"] = "localhost,127.0.0.1"
    with Server(folder / "log", "--host", "0.0.0.0", **settings) as running:  # noqa: S104 - behind keys
        yield running


def test_headers_are_read_by_the_byte_and_neither_a_key_nor_a_host_is_sent_twice(closed: Server) -> None:
    for headers, status in HEADERS.items():
        with Connection(closed.port) as connection:
            connection.send(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n%b\r\n" % headers)
            answer = connection.read_to_end()
        assert answer.split()[1] == status, headers[:60]
        assert (b'"code":"invalid_api_key"' in answer) is (status == b"401")


def test_a_large_body_without_a_key_is_refused_before_it_is_read(closed: Server) -> None:
    with Connection(closed.port) as connection:
        connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10000000\r\n\r\n")
        assert connection.read_until(b"\r\n").startswith(b"HTTP/1.1 401 ")


def test_the_log_is_for_a_person_and_has_neither_a_key_nor_a_warning_nor_uvicorns_own_lines(closed: Server) -> None:
    for key, status in ((KEYS[0], 200), (NOBODYS, 401)):
        response = httpx.get(f"{closed.url}/v1/models", headers={"authorization": f"Bearer {key}"})
        assert response.status_code == status
        closed.wait_for_log(f"[{response.headers['x-request-id']}] app.requests: GET /v1/models {status} duration=")

    assert "INFO [-] uvicorn.error: Application startup complete." in closed.log
    assert not [text for text in (*KEYS, NOBODYS, "No API_KEYS", "HTTP/1.1", "{") if text in closed.log]
