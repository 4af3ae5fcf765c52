"""A page in a browser: what the server tells it before and after, while its requests need a key."""

from collections.abc import Iterator

import httpx
import pytest

from tests.template.e2e.patience import PATIENCE
from tests.template.e2e.server import Server
from tests.template.e2e.sse import deltas_of

ORIGIN = "https://chat.example.com"
PATH = "/v1/chat/completions"
HEADERS = {"authorization": "Bearer sk-mine", "content-type": "application/json", "x-request-id": "of-the-page"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A page of the origin that the server allows."""
    settings = {"API_KEYS": "sk-mine", "CORS_ORIGINS": f"https://other.example.com, {ORIGIN}"}
    with (
        Server(tmp_path_factory.mktemp("page") / "log", settings=settings) as server,
        httpx.Client(base_url=server.url, headers={"origin": ORIGIN}, timeout=PATIENCE) as client,
    ):
        yield client


def preflight(page: httpx.Client, **headers: str) -> httpx.Response:
    """What a browser asks before it lets the page send its request; a browser shows no key here."""
    asked = {"access-control-request-method": "POST", "access-control-request-headers": ",".join(sorted(HEADERS))}
    return page.options(PATH, headers=asked | headers)


def names_in(value: str) -> set[str]:
    return {name.strip().lower() for name in value.split(",")}


def test_a_browser_lets_the_page_send_its_request_and_read_the_stream(page: httpx.Client) -> None:
    before = preflight(page)
    assert before.is_success
    assert before.headers["access-control-allow-origin"] == ORIGIN
    assert "post" in names_in(before.headers["access-control-allow-methods"])
    assert HEADERS.keys() <= names_in(before.headers["access-control-allow-headers"])

    body = {"model": "echo-stream", "messages": [{"role": "user", "content": "Hello!"}], "stream": True}
    response = page.post(PATH, json=body, headers=HEADERS)

    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["x-request-id"] == "of-the-page"
    assert "x-request-id" in names_in(response.headers["access-control-expose-headers"])
    assert {"content": "Hello!"} in deltas_of(response)


def test_the_page_may_read_that_its_key_is_wrong(page: httpx.Client) -> None:
    response = page.post(PATH, json={}, headers={"authorization": "Bearer sk-other"})

    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == ORIGIN


def test_a_browser_stops_a_page_of_another_origin(page: httpx.Client) -> None:
    before = preflight(page, origin="https://evil.example.com")

    assert not before.is_success
    assert "access-control-allow-origin" not in before.headers
