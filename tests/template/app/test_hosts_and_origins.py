"""Which host names the server answers to, and what a browser is told before and after it lets a page use the server."""

from typing import Any

import pytest
from httpx import Response
from litestar import get

from app.keys import Keys
from tests.conftest import Client, Serve, ask, error_of, returning

HOSTS = ("api.example.com", "*.Example.org", "localhost", "192.0.2.1", "[::1]")
ALLOWED = ["api.example.com", "API.Example.COM", "api.example.com.", "api.example.com.:443", "a.b.example.org:80"]
ALLOWED += ["localhost:8831", "192.0.2.1:8000", "[::1]", "[::1]:8000"]
REFUSED = ["example.com", "evil.com", "evil-api.example.com", "xapi.example.com", "apixexample.com", "evilexample.org"]
REFUSED += ["evil.com:api.example.com", "localhost:80:80", "localhost:x", "localhost@evil.com", "user@localhost"]
REFUSED += ["[::2]", "[::1", "", ":8000", ".", "*"]
ORIGIN = "https://chat.example.com"
KEY = {"authorization": "Bearer first"}
REQUESTED = {"authorization", "content-type", "x-request-id", "x-stainless-os"}
EXPOSED = {"x-request-id", "retry-after"} | {f"x-ratelimit-{name}-requests" for name in ("limit", "remaining", "reset")}


@pytest.fixture(scope="module")
def named(serve_all: Serve) -> Client:
    """A client of a server that answers to some host names alone."""
    return serve_all(returning("Hello!"), allowed_hosts=HOSTS)


@pytest.fixture(scope="module")
def page(serve_all: Serve) -> Client:
    """A page of an allowed origin, whose server needs a key."""
    origins: Any = {"cors_origins": ("https://other.example.com", ORIGIN)}
    client = serve_all(returning("Hello!"), api_keys=Keys.parse("first"), requests_per_minute=1000, **origins)
    client.headers["origin"] = ORIGIN
    return client


@pytest.mark.parametrize("host", ALLOWED)
def test_an_allowed_host_is_answered_on_any_port(named: Client, host: str) -> None:
    assert named.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", [*(host.encode() for host in REFUSED), "localhöst".encode(), b"\xff"])
def test_any_other_host_is_refused(named: Client, host: bytes) -> None:
    response = named.get("/v1/models", headers=[(b"host", host)])
    assert (response.status_code, error_of(response)["type"]) == (400, "invalid_request_error")
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("hosts", [(), ("*",), ("localhost", "*")])
def test_any_host_is_answered_unless_some_are_named(serve: Serve, hosts: tuple[str, ...]) -> None:
    assert serve(returning("Hello!"), allowed_hosts=hosts).get("/v1/models", headers={"host": "a.b"}).is_success


def test_a_route_that_needs_no_key_answers_to_any_host(serve: Serve) -> None:
    @get("/open", opt={"exclude_from_auth": True})
    async def open_to_all() -> str:
        return "Come in!"

    client = serve(returning("Hello!"), allowed_hosts=("api.example.com",))
    client.app.register(open_to_all)
    assert client.get("/open", headers={"host": "10.0.0.7:8000"}).text == "Come in!"


def preflight(page: Client, path: str, method: str, **headers: str) -> Response:
    asked = {"access-control-request-method": method, "access-control-request-headers": ",".join(sorted(REQUESTED))}
    return page.options(path, headers=asked | headers)


def names_in(value: str) -> set[str]:
    return {name.strip().lower() for name in value.split(",")}


@pytest.mark.parametrize(
    ("path", "method"), [("/v1/chat/completions", "POST"), ("/models", "GET"), ("/nothing", "GET")]
)
def test_a_preflight_needs_no_key_and_allows_all_headers(page: Client, path: str, method: str) -> None:
    response = preflight(page, path, method)
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (204, ORIGIN)
    assert method in response.headers["access-control-allow-methods"]
    assert names_in(response.headers["access-control-allow-headers"]) >= REQUESTED


@pytest.mark.parametrize("origin", ["https://evil.com", "http://chat.example.com", f"{ORIGIN}.evil.com", "null"])
def test_a_page_of_another_origin_may_send_and_read_nothing(page: Client, origin: str) -> None:
    before = preflight(page, "/v1/chat/completions", "POST", origin=origin)
    response = page.get("/v1/models", headers={"origin": origin, **KEY})
    assert before.status_code == 400
    for headers in (before.headers, response.headers):
        assert headers.get("access-control-allow-origin") not in (origin, "*")


def test_a_page_may_read_every_answer_and_its_headers(page: Client, serve: Serve) -> None:
    body = {"model": "test", "messages": [{"role": "user", "content": "Hello!"}], "stream": True}
    limited = serve(returning("Hello!"), cors_origins=("*",), requests_per_minute=1)
    limited.headers["origin"] = ORIGIN
    ask(limited)
    answers = [
        (200, page.get("/v1/models", headers=KEY)),
        (200, page.post("/v1/chat/completions", headers=KEY, json=body)),
        (400, page.post("/v1/chat/completions", headers=KEY, content=b"{")),
        (401, page.get("/v1/models")),
        (404, page.get("/nothing", headers=KEY)),
        (405, page.get("/v1/chat/completions", headers=KEY)),
        (429, ask(limited)),
    ]
    for status, answer in answers:
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] in (ORIGIN, "*")
        assert names_in(answer.headers["access-control-expose-headers"]) == EXPOSED


def test_without_origins_nothing_is_said_of_them(serve: Serve) -> None:
    response = serve(returning("Hello!")).get("/v1/models", headers={"origin": ORIGIN})
    assert not [name for name in response.headers if name.startswith("access-control")]
