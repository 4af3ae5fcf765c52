"""Replacing what plugs into the server, without touching the controller."""

from collections.abc import Iterator, Sequence
from types import MappingProxyType

import pytest
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.testing import TestClient

from app.app import create_app
from app.services import Body, Hooks, Messages
from app.settings import Settings
from controllers.openai import OpenAIController
from schemas.models import Model
from tests.conftest import Client, ask, given, message_of


class Mine:
    """A service that inherits nothing, and lists its models itself."""

    def complete(self, model: str, messages: Messages, body: Body) -> Iterator[str]:
        yield f"Mine: {model}"

    async def list_models(self) -> Sequence[str | Model]:
        return ["test", Model(id="mine/large", owned_by="me", created=7)]


class OnlyCompletes:
    async def complete(self, model: str, messages: Messages, body: Body) -> str:
        return f"Mine: {model}"


class OnlyLists:
    def list_models(self) -> list[str]:
        return ["echo", "unheard-of"]


class AtAnotherPath(OpenAIController):
    path = "/mine"
    dependencies = MappingProxyType({"completion_service": given(Mine()), "model_service": given(Mine())})


@pytest.fixture
def app() -> Litestar:
    return create_app(settings=Settings())


def names(client: Client, path: str = "/v1/models") -> list[str]:
    return [model["id"] for model in client.get(path).json()["data"]]


def test_create_app_replaces_a_dependency() -> None:
    app = create_app(settings=Settings(), dependencies={"completion_service": given(Mine())})

    with TestClient(app) as client:
        assert message_of(ask(client))["content"] == "Mine: test"


def test_a_subclass_of_the_controller_replaces_a_dependency(app: Litestar) -> None:
    app.register(AtAnotherPath)

    with TestClient(app) as client:
        response = client.post("/mine/v1/chat/completions", json={"model": "test", "messages": [{"role": "user"}]})
        assert message_of(response)["content"] == "Mine: test"
        assert names(client, "/mine/models") == ["test", "mine/large"]
        assert "echo" in names(client)


def test_a_router_replaces_a_dependency(app: Litestar) -> None:
    provided = {"completion_service": given(Mine()), "model_service": given(Mine())}
    app.register(Router("/mine", route_handlers=[OpenAIController], dependencies=provided))

    with TestClient(app) as client:
        response = client.post("/mine/v1/chat/completions", json={"model": "test", "messages": [{"role": "user"}]})
        assert message_of(response)["content"] == "Mine: test"
        assert names(client, "/mine/models") == ["test", "mine/large"]


def test_a_completion_service_that_lists_models_is_the_model_service_too() -> None:
    app = create_app(settings=Settings(), dependencies={"completion_service": given(Mine())})

    with TestClient(app) as client:
        assert names(client) == ["test", "mine/large"]
        assert client.get("/v1/models/mine/large").json() == {
            "id": "mine/large",
            "object": "model",
            "created": 7,
            "owned_by": "me",
        }


def test_a_completion_service_that_lists_none_answers_for_the_registered_models() -> None:
    app = create_app(settings=Settings(), dependencies={"completion_service": given(OnlyCompletes())})

    with TestClient(app) as client:
        assert "echo" in names(client)
        assert message_of(ask(client, model="echo"))["content"] == "Mine: echo"
        assert ask(client, model="nope").status_code == 404


def test_a_model_service_alone_can_be_replaced() -> None:
    app = create_app(settings=Settings(), dependencies={"model_service": given(OnlyLists())})

    with TestClient(app) as client:
        assert names(client) == ["echo", "unheard-of"]
        assert message_of(ask(client, model="echo"))["content"] == "Hello!"
        assert ask(client, model="reasoning").status_code == 404


def test_hooks_alone_can_be_replaced() -> None:
    hooks = Hooks(post_hook=lambda result: f"{result}?")
    app = create_app(settings=Settings(), dependencies={"hooks": given(hooks)})

    with TestClient(app) as client:
        assert message_of(ask(client, model="echo"))["content"] == "Hello!?"


def test_a_provider_may_be_made_for_each_request() -> None:
    made: list[Mine] = []

    async def provide() -> Mine:
        made.append(Mine())
        return made[-1]

    app = create_app(settings=Settings(), dependencies={"completion_service": Provide(provide)})

    with TestClient(app) as client:
        assert [message_of(ask(client))["content"] for _ in range(2)] == ["Mine: test"] * 2
    assert len(made) == 2


def test_a_client_cannot_set_a_dependency_by_a_query(app: Litestar) -> None:
    with TestClient(app) as client:
        query = dict.fromkeys(("completion_service", "model_service", "hooks", "engine", "settings"), "hacked")
        body = {"model": "echo", "messages": [{"role": "user", "content": "Hello!"}]}
        response = client.post("/v1/chat/completions", params=query, json=body)

        assert message_of(response)["content"] == "Hello!"
        assert client.get("/v1/models", params=query).json() == client.get("/v1/models").json()
