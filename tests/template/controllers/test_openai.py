"""OpenAI's endpoints, under `/v1` and without it."""

import time
from typing import Any

import pytest
from openai.types import Model as OpenAIModel
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from app.registry import Pipelines
from schemas.chat import Json
from tests.conftest import Client, Serve, ask, chunks_of, error_of, message_of, yielding
from tests.factories import ChatCompletionRequestFactory, UsageFactory
from tests.template.conftest import completion, stream

PREFIXES = pytest.mark.parametrize("prefix", ["/v1", "", "http://testserver.local//v1", "/v1/"])
NAMES = ["test", "a/b", "a/b/c.gguf", "org/model:7b", "with space", "é", "100%", "a?b", "v1/models", "models"]


@pytest.fixture(scope="module")
def client(serve_all: Serve) -> Client:
    pipelines = Pipelines()
    for name in NAMES:
        pipelines.add(name, yielding("Hello!", UsageFactory.build()))
    return serve_all(pipelines, owned_by="me")


def quoted(name: str) -> str:
    return name.replace("%", "%25").replace("?", "%3F")


@PREFIXES
def test_models_are_listed(client: Client, prefix: str) -> None:
    body = client.get(f"{prefix}/models").json()

    assert list(body) == ["object", "data"]
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == NAMES
    for model in body["data"]:
        assert list(model) == ["id", "object", "created", "owned_by"]
        assert (model["object"], model["owned_by"]) == ("model", "me")
        assert isinstance(model["created"], int)
        OpenAIModel.model_validate(model, strict=True)


@PREFIXES
@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_retrieved_by_its_name(client: Client, prefix: str, name: str) -> None:
    listed: list[Json] = client.get("/v1/models").json()["data"]

    response = client.get(f"{prefix}/models/{quoted(name)}")

    assert response.status_code == 200
    assert response.json() == next(model for model in listed if model["id"] == name)


def test_a_slash_in_a_name_may_be_escaped(client: Client) -> None:
    assert client.get("/v1/models/a%2Fb").json()["id"] == "a/b"


def test_the_time_at_which_a_model_was_made_does_not_change(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    before = client.get("/v1/models").json()
    monkeypatch.setattr(time, "time", lambda: 0.0)

    assert client.get("/v1/models").json() == before


@PREFIXES
@pytest.mark.parametrize("name", ["nope", "a", "a/b/c", "TEST"])
def test_a_model_that_is_not_listed_is_a_404_that_names_those_there_are(client: Client, prefix: str, name: str) -> None:
    response = client.get(f"{prefix}/models/{name}")

    error = error_of(response)
    assert response.status_code == 404
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "model", "model_not_found")
    assert all(known in error["message"] for known in NAMES)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_completion_of_a_model_that_is_not_listed_is_a_404_too(client: Client, streaming: bool) -> None:
    response = ask(client, model="nope", stream=streaming)

    error = error_of(response)
    assert response.status_code == 404
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "model", "model_not_found")
    assert error["message"].startswith("The model 'nope' does not exist. Available: ")
    assert all(known in error["message"] for known in NAMES)


@PREFIXES
def test_a_completion_is_answered_with_200(client: Client, prefix: str) -> None:
    body = {"model": "test", "messages": [{"role": "user", "content": "Hello!"}]}

    whole = client.post(f"{prefix}/chat/completions", json=body)
    streamed = client.post(f"{prefix}/chat/completions", json=body | {"stream": True})

    assert whole.status_code == streamed.status_code == 200
    assert whole.headers["content-type"] == "application/json"
    assert whole.json() == completion("Hello!") | {"usage": whole.json()["usage"]}
    assert chunks_of(streamed) == stream({"content": "Hello!"})


@pytest.mark.parametrize("name", NAMES)
def test_any_listed_name_can_be_asked_for(client: Client, name: str) -> None:
    assert ask(client, model=name).json()["model"] == name
    assert {chunk["model"] for chunk in chunks_of(ask(client, model=name, stream=True))} == {name}


def test_answers_are_what_the_package_of_openai_expects(client: Client) -> None:
    ChatCompletion.model_validate(ask(client).json(), strict=True)
    for chunk in chunks_of(ask(client, stream=True, stream_options={"include_usage": True})):
        ChatCompletionChunk.model_validate(chunk, strict=True)


def test_a_full_request_reaches_the_model(client: Client) -> None:
    request: Any = ChatCompletionRequestFactory.build(model="test", stream=False).to_body()

    assert message_of(client.post("/v1/chat/completions", json=request))["content"] == "Hello!"


def test_head_and_options_do_not_fail(client: Client) -> None:
    assert client.options("/v1/models").status_code < 300
    assert client.head("/v1/models").status_code in (200, 405)
