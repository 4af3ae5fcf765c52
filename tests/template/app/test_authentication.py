"""Who may enter: everybody unless there are keys, and then whoever shows one of them."""

import re
from typing import Any

import pytest
from httpx import Response
from litestar import Litestar, Request, get
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from app.app import create_app
from app.keys import Keys
from app.settings import Settings
from app.web.authentication import PUBLIC
from tests.conftest import Client, Serve, ask, error_of, message_of, returning, streamed_text

KEYS = Keys.parse("first,second")
ODD_PATHS = ["http://testserver.local//v1/models", "/models/a/b", "/schema/nothing"]
PUBLIC_PATHS = {"/", "/health", "/ready", "/static/{name}"}
WRONG: dict[str, list[bytes]] = {
    "none": [],
    "empty": [b""],
    "scheme alone": [b"Bearer"],
    "empty key": [b"Bearer "],
    "spaces": [b"Bearer    "],
    "other key": [b"Bearer third"],
    "other case": [b"Bearer FIRST"],
    "part of a key": [b"Bearer firs"],
    "longer": [b"Bearer first1"],
    "all keys": [b"Bearer first,second"],
    "no scheme": [b"first"],
    "no space": [b"Bearerfirst"],
    "basic": [b"Basic first"],
    "basic encoded": [b"Basic Zmlyc3Q6"],
    "digest": [b'Digest username="first"'],
    "tab": [b"Bearer\tfirst"],
    "hash": [b"Bearer a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e"],
    "utf-8": ["Bearer schlüssel".encode()],
    "bytes": [b"Bearer \xff\xfe\x80"],
    "bytes in the scheme": [b"\xff\xfe first"],
    "long": [b"Bearer " + b"x" * 10_000],
    "twice": [b"Bearer first", b"Bearer first"],
    "right and wrong": [b"Bearer first", b"Bearer third"],
}


@pytest.fixture(scope="module")
def client(serve_all: Serve) -> Client:
    return serve_all(returning("Hello!"), api_keys=KEYS)


def refused(response: Response) -> bool:
    """Whether a response is the one to a caller who may not enter."""
    error = error_of(response)
    kind = (response.status_code, error["type"], error["code"], error["param"])
    assert error["message"].endswith(".")
    assert response.headers["x-request-id"]
    return kind == (401, "invalid_request_error", "invalid_api_key", None) and (
        response.headers["www-authenticate"] == "Bearer"
    )


@pytest.mark.parametrize("header", ["Bearer first", "Bearer second", "bearer first", "BEARER  first", "Bearer first "])
def test_whoever_shows_a_key_may_enter(client: Client, header: str) -> None:
    headers = {"authorization": header}

    assert client.get("/v1/models", headers=headers).status_code == 200
    assert client.get("/schema/openapi.json", headers=headers).status_code == 200


def test_both_forms_of_a_completion_are_for_whoever_shows_a_key(serve: Serve) -> None:
    client = serve(returning("Hello!"), api_keys=KEYS)
    client.headers["authorization"] = "Bearer first"

    assert message_of(ask(client))["content"] == "Hello!"
    assert streamed_text(ask(client, stream=True)) == "Hello!"


@pytest.mark.parametrize("sent", WRONG.values(), ids=WRONG)
def test_nobody_else_may(client: Client, sent: list[bytes]) -> None:
    assert refused(client.get("/v1/models", headers=[(b"authorization", value) for value in sent]))


def test_every_route_wants_a_key_unless_it_is_public(client: Client) -> None:
    handlers = [
        (bool(handler.opt.get(PUBLIC)), str(method), route.path_format)
        for route in client.app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
    ]
    closed = {(method, re.sub(r"{.*?}", "test", path)) for public, method, path in handlers if not public}

    assert {path for public, _, path in handlers if public} == PUBLIC_PATHS
    assert closed > {
        ("POST", "/v1/chat/completions"),
        ("OPTIONS", "/chat/completions"),
        ("GET", "/schema/openapi.json"),
    }
    for method, path in [*closed, *(("GET", path) for path in ODD_PATHS)]:
        assert refused(client.request(method, path)), (method, path)


def test_a_key_counts_in_its_header_alone(client: Client) -> None:
    assert refused(client.get("/v1/models?api_key=first", headers={"x-api-key": "first", "cookie": "key=first"}))


def test_a_refusal_repeats_nothing_of_the_key(client: Client) -> None:
    assert "nearly" not in client.get("/v1/models", headers={"authorization": "Bearer nearly-right"}).text


def test_what_is_not_served_is_not_found_with_a_key_and_without(client: Client) -> None:
    assert client.get("/v1/nothing").status_code == 404
    assert client.get("/v1/chat/completions").status_code == 405


def test_without_keys_everybody_may_enter(serve: Serve) -> None:
    client = serve(returning("Hello!"))

    for headers in ({}, {"authorization": "Bearer none"}, {"authorization": "Basic x"}):
        assert client.get("/v1/models", headers=headers).status_code == 200


def test_the_documentation_is_open_if_the_settings_say_so(serve: Serve) -> None:
    client = serve(returning("Hello!"), api_keys=KEYS, public_docs=True)

    assert client.get("/schema/openapi.json").status_code == 200
    assert refused(client.get("/v1/models"))


@pytest.fixture
def own_routes() -> Litestar:
    """An application with routes of a cloner's own."""

    @get("/mine")
    async def mine(request: Request[str, None, Any]) -> str:
        return request.user

    @get("/open", opt={"exclude_from_auth": True})
    async def open_to_all() -> str:
        return "Come in!"

    app = create_app(settings=Settings(api_keys=KEYS))
    app.register(mine)
    app.register(open_to_all)
    return app


def test_a_route_of_ones_own_is_closed_unless_it_says_otherwise(own_routes: Litestar) -> None:
    with TestClient(own_routes) as client:
        assert refused(client.get("/mine"))
        assert client.get("/open").text == "Come in!"


def test_a_handler_knows_its_caller_by_the_id_of_the_key(own_routes: Litestar) -> None:
    with TestClient(own_routes) as client:
        assert client.get("/mine", headers={"authorization": "Bearer first"}).text == KEYS.owner_of(b"first")


def test_the_documentation_says_how_to_send_a_key(serve: Serve) -> None:
    with_keys, without = (serve(returning(""), api_keys=keys, public_docs=True) for keys in (KEYS, Keys()))

    document = with_keys.get("/schema/openapi.json").json()
    assert document["security"] == [{"key": []}]
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    assert "security" not in without.get("/schema/openapi.json").json()
