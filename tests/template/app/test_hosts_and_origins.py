"""Which host names the server answers to, and what a browser is told before and after it lets a page use the server."""

from typing import Any

import pytest
from httpx import Response
from litestar import get

from app.keys import Keys
from app.services import Body, Messages
from tests.conftest import ASKS, Client, Serve, ask, error_of, message_of, returning

HOSTS = ("api.example.com", "*.Example.org", "localhost.", "192.0.2.1", "[::1]")
ALLOWED = ["api.example.com", "API.Example.COM", "api.example.com.", "api.example.com.:443", "a.b.example.org:80"]
ALLOWED += ["localhost:8831", "192.0.2.1:8000", "[::1]", "[::1]:8000"]
REFUSED = ["example.com", "evil.com", "evil-api.example.com", "xapi.example.com", "apixexample.com", "evilexample.org"]
REFUSED += ["evil.com:api.example.com", "localhost:80:80", "localhost:x", "localhost@evil.com", "user@localhost"]
REFUSED += ["[::2]", "[::1", "", ":8000", ".", "*"]
ORIGIN = "https://chat.example.com"
KEY = {"authorization": "Bearer first"}
REQUESTED = {"authorization", "content-type", "x-request-id", "x-stainless-os"}
MALFORMED = [*("localhost:abc", "localhost:99999", "localhost:80:80", "localhost:-1", "[::1", "[::g]", "[::1]x", "::1")]
MALFORMED += ["", ":8000", "a b", "a/b", "a?b", "a#b", "user@localhost", "a,b:c", "a\\b", "<b>", "a" * 300]
OTHER_PAGES: list[dict[str, str]] = [
    *({"origin": origin} for origin in ("https://evil.com", "null", "", "file://", "http://localhost", "http://[")),
    *({"origin": f"http://{address}"} for address in ("testserver.local.evil.com", "testserver.local:8000", "a.b/c")),
    {"origin": "https://testserver.local:80"},
    {"origin": "https://evil.com", "sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site"},
    {"origin": "http://testserver.local", "sec-fetch-site": "cross-site"},
]
OWN_PAGES: list[dict[str, str]] = [
    {},
    {"origin": "http://testserver.local", "sec-fetch-site": "same-origin"},
    {"origin": "https://public.example", "sec-fetch-site": "same-origin"},  # a proxy has changed the host
    {"origin": "https://testserver.local"},  # a proxy ends TLS
    {"origin": "https://testserver.local", "host": "testserver.local:443"},
    {"origin": "http://testserver.local:80", "host": "TestServer.local"},
    {"origin": "http://[::1]:8000", "host": "[::1]:8000"},
    {"sec-fetch-site": "none"},
]
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


@pytest.mark.parametrize("hosts", [*([host] for host in MALFORMED), ["localhost", "localhost"]], ids=str)
@pytest.mark.parametrize("path", ["/health", "/v1/models", "/nothing"])
def test_a_malformed_host_is_an_error_on_every_path(page: Client, path: str, hosts: list[str]) -> None:
    response = page.get(path, headers=[("x-request-id", "mine"), *(("host", host) for host in hosts)])
    assert (response.status_code, error_of(response)["type"]) == (400, "invalid_request_error")
    assert "'host'" in error_of(response)["message"]
    assert response.headers["x-request-id"] == "mine"


@pytest.fixture(scope="module")
def counted(serve_all: Serve) -> Client:
    """A client of a server without keys, whose answer is how often its model was asked."""
    asked: list[None] = []

    def count(model: str, messages: Messages, body: Body) -> str:
        asked.append(None)
        return str(len(asked))

    return serve_all(count)


@pytest.mark.parametrize("headers", OTHER_PAGES, ids=str)
def test_a_page_of_another_site_runs_nothing_even_if_the_server_has_no_keys(
    counted: Client, headers: dict[str, str]
) -> None:
    before = int(message_of(ask(counted))["content"])
    refused = [counted.post(path, json=ASKS, headers=headers) for path in ("/v1/chat/completions", "/v1/responses")]
    refused += [counted.request(method, "/v1/responses/x", headers=headers) for method in ("DELETE", "PUT", "PATCH")]

    for response in refused:
        assert (response.status_code, error_of(response)["type"]) == (403, "invalid_request_error")
        assert "CORS_ORIGINS" in error_of(response)["message"]
    assert message_of(ask(counted))["content"] == str(before + 1)
    assert counted.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", OWN_PAGES, ids=str)
def test_a_page_of_its_own_and_a_program_may_ask(counted: Client, headers: dict[str, str]) -> None:
    assert counted.post("/v1/chat/completions", json=ASKS, headers=headers).status_code == 200


@pytest.mark.parametrize("allowed", [ORIGIN, "https://*.example.com", "*"])
def test_a_page_of_an_allowed_origin_may_ask_although_it_is_of_another_site(serve: Serve, allowed: str) -> None:
    client = serve(returning("Hello!"), cors_origins=(allowed,))
    for origin, status in ((ORIGIN, 200), ("http://chat.example.com", 200 if allowed == "*" else 403)):
        client.headers.update({"origin": origin, "sec-fetch-site": "cross-site"})
        assert ask(client).status_code == status


def test_without_origins_nothing_is_said_of_them(serve: Serve) -> None:
    response = serve(returning("Hello!")).get("/v1/models", headers={"origin": ORIGIN})
    assert not [name for name in response.headers if name.startswith("access-control")]
