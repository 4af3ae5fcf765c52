"""API keys: without any, everybody may ask; with some, only a caller who sends one of them."""

from typing import Any

import pytest
from httpx import Response
from litestar import Request, get

from app.settings import Settings
from tests.conftest import Client, Serve, ask, error_of, openai_of, returning

KEYS = Settings.load({"API_KEYS": "first, second"}).api_keys
WRONG = ["", "Bearer", "Bearer third", "Bearer FIRST", "Bearer firs", "Bearer first1", "first", "Basic first"]
ROUTES = ["/v1/models", "/models/test", "/v1//models", "/schema/openapi.json", "/mine"]


@pytest.fixture
def client(serve: Serve) -> Client:
    @get("/mine")
    async def mine(request: Request[str, None, Any]) -> str:
        return request.user  # the id of the key

    client = serve(returning("Hello!"), api_keys=KEYS)
    client.app.register(mine)
    return client


def is_refused(response: Response) -> bool:
    code = error_of(response)["code"]
    return (response.status_code, code, response.headers["www-authenticate"]) == (401, "invalid_api_key", "Bearer")


def test_each_key_opens_all_routes_and_is_hidden_from_handlers(client: Client) -> None:
    assert [model.id for model in openai_of(client, key="first").models.list()] == ["test"]
    for header in ("Bearer first", "bearer second"):
        client.headers["authorization"] = header
        assert ask(client, stream=True).status_code == ask(client).status_code == 200
        for path in ROUTES:
            assert client.get(path).status_code == 200
    assert client.get("/mine").text not in ("first", "second", "")


@pytest.mark.parametrize("header", WRONG)
def test_nothing_else_opens_any_route(client: Client, header: str) -> None:
    client.headers.update({"authorization": header, "x-api-key": "first"})
    for response in (ask(client), ask(client, stream=True), *(client.get(f"{path}?api_key=first") for path in ROUTES)):
        assert is_refused(response)
        assert "first" not in response.text


def test_health_is_open_a_setting_opens_the_documentation_and_without_keys_everybody_may_ask(serve: Serve) -> None:
    client = serve(returning("Hello!"), api_keys=KEYS, public_docs=True)
    assert [client.get(path).status_code for path in ("/health", "/ready", "/schema/openapi.json")] == [200] * 3
    assert is_refused(client.get("/v1/models"))
    client = serve(returning("Hello!"))
    for headers in ({}, {"authorization": "Bearer none"}, {"authorization": "Basic x"}):
        assert client.get("/v1/models", headers=headers).status_code == 200
