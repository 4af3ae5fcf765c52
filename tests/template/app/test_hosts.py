"""Which host names the server answers to."""

import pytest
from litestar import get
from litestar.testing import TestClient

from app.app import create_app
from app.settings import Settings
from tests.conftest import Client, Serve, error_of, returning

HOSTS = ("api.example.com", "*.Example.org", "localhost", "192.0.2.1", "[::1]")
RIGHT = [
    "api.example.com",
    "api.example.com:8000",
    "API.Example.COM",
    "api.example.com.",
    "api.example.com.:443",
    "a.example.org",
    "a.b.example.org:80",
    "localhost:8831",
    "192.0.2.1:8000",
    "[::1]",
    "[::1]:8000",
]
WRONG = [
    "example.com",
    "evil.com",
    "api.example.com.evil.com",
    "evil-api.example.com",
    "xapi.example.com",
    "apixexample.com",
    "example.org",
    "evilexample.org",
    "evil.com:api.example.com",
    "localhost:80:80",
    "localhost:x",
    "localhost@evil.com",
    "user@localhost",
    "[::2]",
    "[::1",
    "",
    ":8000",
    ".",
    "*",
]


@pytest.fixture(scope="module")
def client(serve_all: Serve) -> Client:
    return serve_all(returning("Hello!"), allowed_hosts=HOSTS)


@pytest.mark.parametrize("host", RIGHT)
def test_an_allowed_host_is_answered_on_any_port(client: Client, host: str) -> None:
    assert client.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", [*WRONG, "localhöst".encode(), b"\xff"])
def test_any_other_is_refused_in_the_form_of_an_error(client: Client, host: str | bytes) -> None:
    sent = host if isinstance(host, bytes) else host.encode()

    response = client.get("/v1/models", headers=[(b"host", sent)])

    assert response.status_code == 400
    assert error_of(response)["type"] == "invalid_request_error"
    assert response.headers["x-request-id"]


def test_two_hosts_are_refused_though_both_are_allowed(client: Client) -> None:
    assert client.get("/v1/models", headers=[(b"host", b"localhost"), (b"host", b"localhost")]).status_code == 400


@pytest.mark.parametrize("hosts", [(), ("*",), ("localhost", "*")])
def test_any_host_is_answered_unless_some_are_named(serve: Serve, hosts: tuple[str, ...]) -> None:
    assert serve(returning("Hello!"), allowed_hosts=hosts).get("/v1/models", headers={"host": "a.b"}).is_success


def test_a_route_that_needs_no_key_answers_to_any_host() -> None:
    @get("/open", opt={"exclude_from_auth": True})
    async def open_to_all() -> str:
        return "Come in!"

    app = create_app(settings=Settings(allowed_hosts=("api.example.com",)))
    app.register(open_to_all)
    with TestClient(app) as client:
        assert client.get("/open", headers={"host": "10.0.0.7:8000"}).text == "Come in!"
