"""What a browser is told, before it lets a page use the server and afterwards."""

from collections.abc import Mapping

import pytest
from httpx import Response

from app.keys import Keys
from tests.conftest import Client, Serve, ask, returning

ORIGIN = "https://chat.example.com"
KEY = {"authorization": "Bearer first"}


@pytest.fixture(scope="module")
def client(serve_all: Serve) -> Client:
    keys = Keys.parse("first")
    return serve_all(returning("Hello!"), cors_origins=(ORIGIN,), api_keys=keys, requests_per_minute=1000)


def preflight(
    client: Client, origin: str = ORIGIN, path: str = "/v1/chat/completions", method: str = "POST"
) -> Response:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type,x-request-id,x-stainless-os",
    }
    return client.options(path, headers=headers)


def names_in(value: str) -> set[str]:
    return {name.strip().lower() for name in value.split(",")}


def allowed(headers: Mapping[str, str]) -> bool:
    """Whether a page of the origin may read an answer with these headers."""
    return headers.get("access-control-allow-origin") in (ORIGIN, "*")


@pytest.mark.parametrize(
    ("path", "method"), [("/v1/chat/completions", "POST"), ("/models", "GET"), ("/nothing", "GET")]
)
def test_a_preflight_needs_no_key(client: Client, path: str, method: str) -> None:
    response = preflight(client, path=path, method=method)

    assert response.status_code == 204
    assert allowed(response.headers)
    assert method in response.headers["access-control-allow-methods"]
    sent = {"authorization", "content-type", "x-request-id", "x-stainless-os"}
    assert sent <= names_in(response.headers["access-control-allow-headers"])


@pytest.mark.parametrize("origin", ["https://evil.com", "http://chat.example.com", f"{ORIGIN}.evil.com", "null"])
def test_a_preflight_of_another_origin_is_refused(client: Client, origin: str) -> None:
    response = preflight(client, origin)

    assert response.status_code == 400
    assert not allowed(response.headers)


def test_a_page_may_read_every_answer_and_its_headers(client: Client) -> None:
    headers = {"origin": ORIGIN, **KEY}
    body = {"model": "test", "messages": [{"role": "user"}]}
    answers = {
        200: client.get("/v1/models", headers=headers),
        400: client.post("/v1/chat/completions", headers=headers, content=b"{"),
        401: client.get("/v1/models", headers={"origin": ORIGIN}),
        404: client.get("/nothing", headers=headers),
        405: client.get("/v1/chat/completions", headers=headers),
    }
    streamed = client.post("/v1/chat/completions", headers=headers, json=body | {"stream": True})

    assert {status: answer.status_code for status, answer in answers.items()} == {status: status for status in answers}
    for answer in (*answers.values(), streamed):
        assert allowed(answer.headers)
        assert names_in(answer.headers["access-control-expose-headers"]) == {
            "x-request-id",
            "retry-after",
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        }


def test_a_page_may_read_how_long_to_wait(serve: Serve) -> None:
    client = serve(returning("Hello!"), cors_origins=("*",), requests_per_minute=1)
    client.headers["origin"] = ORIGIN
    ask(client)

    response = ask(client)

    assert response.status_code == 429
    assert allowed(response.headers)
    assert response.headers["retry-after"]


def test_a_page_of_another_origin_may_read_nothing(client: Client) -> None:
    response = client.get("/v1/models", headers={"origin": "https://evil.com", **KEY})

    assert not allowed(response.headers)


def test_without_origins_nothing_is_said_of_them(serve: Serve) -> None:
    response = serve(returning("Hello!")).get("/v1/models", headers={"origin": ORIGIN})

    assert not [name for name in response.headers if name.startswith("access-control")]
