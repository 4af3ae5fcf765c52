"""What extends an application: what `create_app` hands on to Litestar, controllers, and hooks that see the request."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from litestar import Controller, Litestar, Request, Router, get
from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.middleware import ASGIMiddleware
from litestar.plugins import InitPlugin
from litestar.testing import TestClient
from litestar.types import ASGIApp, Receive, Scope, Send

from app import extensions
from app.app import create_app
from app.keys import Keys
from app.registry import Pipelines
from app.services import Hooks
from app.settings import Settings
from controllers.openai import OpenAIController
from controllers.responses import ResponsesController
from schemas.chat import ChatCompletionRequest, Json
from tests.conftest import ASKS, KEY, PATIENCE, Client, error_of, given, message_of, returning

KEYS = (KEY, "sk-other")
GREETING = returning("Hello!")
MINE = SimpleNamespace(complete=returning("Mine"), list_models=lambda: ["test"])


def first_text(model: str, messages: list[Json], body: Json) -> str:
    return str(messages[0]["content"])


@contextmanager
def extended(model: Any = GREETING, *, keys: str = "", **parts: Any) -> Iterator[Client]:
    """A client of an application around the model `test` that has these parts besides."""
    registry = Pipelines()
    registry.add("test", model)
    settings = Settings(api_keys=Keys.parse(keys)) if keys else Settings()
    with TestClient(create_app(settings=settings, pipelines=registry, **parts)) as client:
        client.headers["authorization"] = f"Bearer {KEY}"
        yield client


def spoken(client: Client, path: str = "", **headers: str) -> list[str]:
    """What the model `test` answers below a path: to a chat, to a request for a response, on a WebSocket."""
    chat = client.post(f"{path}/v1/chat/completions", json=ASKS, headers=headers)
    asked = {"model": "test", "input": "Hello!"}
    whole = client.post(f"{path}/v1/responses", json=asked, headers=headers).json()
    with client.websocket_connect(f"{path}/v1/responses", headers=headers) as socket:
        socket.send_json({"type": "response.create", **asked})
        while (event := socket.receive_json(timeout=PATIENCE))["type"] not in ("response.completed", "error"):
            pass
    return [
        message_of(chat)["content"],
        *(each["output"][0]["content"][0]["text"] for each in (whole, event["response"])),
    ]


@pytest.mark.anyio
async def test_a_lifespan_is_open_before_resources_and_models_are_and_until_they_are_closed() -> None:
    events: list[str] = []
    registry, started = Pipelines(), asyncio.Event()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None, None]:
        events.append("lifespan")
        yield
        events.append("end of lifespan")

    @registry.resource
    async def pool() -> AsyncGenerator[None, None]:
        events.append("pool")
        yield
        events.append("end of pool")

    class Model:
        async def start(self) -> None:
            events.append("model")
            started.set()

        async def __call__(self, model: str, messages: object, body: object) -> str:
            return ""

        async def close(self) -> None:
            events.append("end of model")

    registry.add("test", Model(), preload=True)
    async with create_app(settings=Settings(), pipelines=registry, lifespan=[lifespan]).lifespan():
        await asyncio.wait_for(started.wait(), PATIENCE)
    assert events == ["lifespan", "pool", "model", "end of model", "end of pool", "end of lifespan"]


def test_middleware_of_a_project_and_of_its_plugins_gets_what_keys_let_pass_with_the_caller() -> None:
    seen: list[tuple[str, str]] = []

    class Seeing(ASGIMiddleware):
        def __init__(self, name: str) -> None:
            self.name = name

        async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
            seen.append((self.name, str(scope["user"])[:4]))
            await next_app(scope, receive, send)

    class Plugin(InitPlugin):
        def on_app_init(self, app_config: AppConfig) -> AppConfig:
            app_config.middleware.append(Seeing("of the plugin"))
            return app_config

    with extended(keys=KEY, middleware=[Seeing("of the project")], plugins=[Plugin()]) as client:
        assert client.get("/v1/models", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/v1/models").status_code == 200
    assert seen == [("of the plugin", "key_"), ("of the project", "key_")]


def test_a_subclass_of_a_controller_replaces_it_unless_its_path_is_another() -> None:
    class Chats(OpenAIController):
        dependencies = MappingProxyType({"completion_service": given(MINE)})

        @get("/v1/volume")
        async def volume(self) -> str:
            return "high"

    class Responses(ResponsesController):
        path = "/"
        dependencies = Chats.dependencies

    class Elsewhere(Chats):
        path = "/elsewhere/"

    handlers: list[type[Controller]] = [Chats, Responses, Elsewhere]
    with extended(route_handlers=handlers) as client:
        assert spoken(client) == ["Mine"] * 3
        assert [client.get(f"{path}/v1/volume").text for path in ("", "/elsewhere")] == ["high", "high"]
    with extended(route_handlers=[Elsewhere]) as client:
        assert spoken(client) == ["Hello!"] * 3
        assert client.get("/v1/volume").status_code == 404
        assert message_of(client.post("/elsewhere/v1/chat/completions", json=ASKS))["content"] == "Mine"


def test_a_router_serves_the_whole_api_by_other_services_below_its_path() -> None:
    controllers = [OpenAIController, ResponsesController]
    mine = Router("/mine", route_handlers=controllers, dependencies={"completion_service": given(MINE)})
    with extended(route_handlers=[mine]) as client:
        assert (spoken(client, "/mine"), spoken(client)) == (["Mine"] * 3, ["Hello!"] * 3)


def test_hooks_see_the_request_of_a_chat_of_a_response_and_of_a_message_on_a_websocket() -> None:
    async def provide(request: Request[Any, Any, Any]) -> Hooks:
        prompt = f"{request.user} {request.headers['x-team']} {request.method} {request.url.path.split('/')[-1]}"

        def with_prompt(asked: ChatCompletionRequest) -> None:
            asked.messages.insert(0, {"role": "system", "content": prompt})

        return Hooks(pre_hook=with_prompt)

    with extended(first_text, keys=",".join(KEYS), dependencies={"hooks": Provide(provide)}) as client:
        prompts = [spoken(client, authorization=f"Bearer {key}", **{"x-team": key[-3:]}) for key in KEYS]
    for key, (chat, *responses) in zip(KEYS, prompts, strict=True):
        caller = Keys.parse(key).owner_of(key.encode())
        assert chat == f"{caller} {key[-3:]} POST completions"
        assert responses == [f"{caller} {key[-3:]} POST responses"] * 2


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """The lists of `app/extensions.py`, empty."""
    lists = {name: type(getattr(extensions, name))() for name in extensions.__annotations__}
    for name, value in lists.items():
        monkeypatch.setattr(extensions, name, value)
    return lists


def test_the_application_of_the_project_has_its_extensions_and_one_of_another_registry_none(
    project: Mapping[str, Any],
) -> None:
    @get("/about")
    async def about() -> str:
        return "mine"

    project["dependencies"]["completion_service"] = given(MINE)
    project["route_handlers"].append(about)
    other = SimpleNamespace(list_models=lambda: ["other"])
    with TestClient(create_app(settings=Settings(), dependencies={"model_service": given(other)})) as client:
        assert client.get("/about").text == "mine"
        assert message_of(client.post("/v1/chat/completions", json=ASKS | {"model": "other"}))["content"] == "Mine"
    with extended() as client:
        assert error_of(client.get("/about"))["code"] == "not_found"
        assert message_of(client.post("/v1/chat/completions", json=ASKS))["content"] == "Hello!"
