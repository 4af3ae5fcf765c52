"""Models: registered functions and factories, and how clients list and retrieve them."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest

from app.registry import Pipelines
from app.services import Body, Messages
from app.settings import Settings
from tests.conftest import Serve, ask, error_of, message_of, returning, streamed_text

NAMES = ["test", "org/model:7b", "with space"]


@pytest.mark.parametrize("prefix", ["/v1", "", "/v1/"])
def test_models_are_listed_and_retrieved_by_names_with_slashes_and_spaces(serve: Serve, prefix: str) -> None:
    pipelines = Pipelines()
    for name in NAMES:
        pipelines.add(name, function, created=7)
    client = serve(pipelines, owned_by="me")
    models = [{"id": name, "object": "model", "created": 7, "owned_by": "me"} for name in NAMES]
    assert client.get(f"{prefix}/models").json() == {"object": "list", "data": models}
    assert [client.get(f"{prefix}/models/{name}").json() for name in NAMES] == models


def test_an_unknown_model_is_a_404_that_names_the_known_ones(serve: Serve) -> None:
    client = serve(returning("Hello!"))
    message = "The model 'nope' does not exist. Available: test."
    for response in (client.get("/v1/models/nope"), ask(client, model="nope"), ask(client, model="nope", stream=True)):
        error = error_of(response)
        assert (response.status_code, error["message"]) == (404, message)
        assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "model", "model_not_found")


def function(model: str, messages: Messages, body: Body) -> str:
    return f"I am {model}"


async def async_function(model: str, messages: Messages, body: Body, headers: Mapping[str, str]) -> str:
    assert headers["x-tenant"] == "acme"
    assert not {"authorization", "cookie"} & headers.keys()
    return f"I am {model}"


def generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield from ("I ", "am ", model)


async def async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    for word in ("I ", "am ", model):
        yield word


@pytest.mark.parametrize("registered", [function, async_function, generator, async_generator])
def test_any_function_of_model_messages_and_body_is_a_model(serve: Serve, registered: Callable[..., Any]) -> None:
    pipelines = Pipelines()
    assert pipelines.model("mine")(registered) is registered
    client = serve(pipelines)
    client.headers.update({"x-tenant": "acme", "authorization": "Bearer none", "cookie": "a=b"})
    assert message_of(ask(client, model="mine"))["content"] == "I am mine"
    assert streamed_text(ask(client, model="mine", stream=True)) == "I am mine"


def test_a_model_is_offered_when_the_settings_allow_it(serve: Serve) -> None:
    pipelines = Pipelines()
    pipelines.add("mine", function, when=lambda settings: settings.owned_by == "me")
    assert ask(serve(pipelines, owned_by="me"), model="mine").status_code == 200
    client = serve(pipelines)
    assert client.get("/v1/models").json()["data"] == []
    assert error_of(ask(client, model="mine"))["code"] == "model_not_found"


def test_a_factory_makes_its_model_once_from_the_settings_and_a_resource(serve: Serve) -> None:
    events: list[str] = []
    failures = [OSError("No such file")]
    pipelines = Pipelines()

    @pipelines.resource
    async def journal() -> AsyncGenerator[list[str], None]:
        yield events
        events.append("closed")

    @pipelines.factory("test", preload=False)
    def factory(settings: Settings, journal: list[str]) -> Callable[..., Any]:
        journal.append(f"called for {settings.owned_by}")
        if failures:
            raise failures.pop()
        return function

    client = serve(pipelines, owned_by="me")
    assert (client.get("/v1/models/test").status_code, events) == (200, [])
    assert [ask(client).status_code for _ in range(3)] == [500, 200, 200]
    client.__exit__()
    assert events == ["called for me", "called for me", "closed"]
