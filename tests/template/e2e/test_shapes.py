"""Every answer and every chunk, held strictly to the types of OpenAI's own package."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from app.pipelines import pipelines
from tests.template.e2e.connection import chat
from tests.template.e2e.server import Server
from tests.template.e2e.sse import chunks_of

SHIPPED = [name for name in ("echo", "echo-stream", "tools", "reasoning", "events") if name in pipelines.models]
OWN = ["function", "async-function", "generator", "async-generator", "usage", "two-calls", "awkward", "nothing"]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"required": ["city"]}}}]
NULLS_OF_A_CHUNK = {"choices.finish_reason"}
NULLS_OF_A_COMPLETION = {"choices.logprobs", "choices.message.refusal", "choices.message.content"}
OWN_FIELDS = {"event", "choices.message.reasoning_content", "choices.delta.reasoning_content"}


def nulls_in(value: Any, path: str = "") -> Iterator[str]:
    """The paths at which a JSON value is null."""
    match value:
        case None:
            yield path
        case dict():
            for name, part in value.items():
                yield from nulls_in(part, f"{path}.{name}".lstrip("."))
        case list():
            for part in value:
                yield from nulls_in(part, path)


def undeclared_in(value: Any, path: str = "") -> Iterator[str]:
    """The paths of the fields that OpenAI's types do not declare."""
    match value:
        case openai.BaseModel():
            for name in value.model_extra or {}:
                yield f"{path}.{name}".lstrip(".")
            for name in type(value).model_fields:
                yield from undeclared_in(getattr(value, name), f"{path}.{name}".lstrip("."))
        case list():
            for part in value:
                yield from undeclared_in(part, path)


@pytest.fixture(params=[*SHIPPED, *OWN])
def model(request: pytest.FixtureRequest) -> str:
    """The name of a model."""
    name: str = request.param
    return name


@pytest.fixture
def url(model: str, shipped: Server, server: Server) -> str:
    """Where the model's completions are made."""
    return f"{(shipped if model in SHIPPED else server).url}/v1/chat/completions"


def test_a_whole_completion_is_strictly_of_openai_s_type(model: str, url: str) -> None:
    answer = httpx.post(url, json=chat(model, "Hello!", tools=TOOLS)).raise_for_status()

    completion = ChatCompletion.model_validate_json(answer.content, strict=True)
    assert set(undeclared_in(completion)) <= OWN_FIELDS
    assert set(nulls_in(answer.json())) <= NULLS_OF_A_COMPLETION


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_chunk_is_strictly_of_openai_s_type(model: str, url: str, include_usage: bool) -> None:
    options = {"stream": True, "stream_options": {"include_usage": include_usage}}

    chunks = chunks_of(httpx.post(url, json=chat(model, "Hello!", tools=TOOLS, **options)))

    for chunk in chunks:
        parsed = ChatCompletionChunk.model_validate(chunk, strict=True)
        assert set(undeclared_in(parsed)) <= OWN_FIELDS
        assert set(nulls_in(chunk)) <= NULLS_OF_A_CHUNK | ({"usage"} if include_usage else set())


def test_fields_of_a_service_s_own_do_not_hurt_openai_s_types(http: httpx.Client) -> None:
    answer = http.post("/v1/chat/completions", json=chat("extras", "Hello!"))
    chunks = chunks_of(http.post("/v1/chat/completions", json=chat("extras", "Hello!", stream=True)))

    ChatCompletion.model_validate_json(answer.content, strict=True)
    assert all(ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in chunks)


def test_each_chunk_but_the_last_carries_something(model: str, url: str) -> None:
    chunks = chunks_of(httpx.post(url, json=chat(model, "Hello!", stream=True)))

    *running, last = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert all(choice["delta"] for choice in running)
    assert last["delta"] == {}
    assert last["finish_reason"] in ("stop", "tool_calls")


def test_a_model_is_strictly_of_openai_s_type(http: httpx.Client) -> None:
    listed = http.get("/v1/models").json()

    assert listed.keys() == {"object", "data"}
    assert listed["object"] == "list"
    for model in listed["data"]:
        assert not set(undeclared_in(Model.model_validate(model, strict=True)))
        assert http.get(f"/models/{model['id']}").json() == model


@pytest.mark.parametrize("body", [{}, chat("none", "Hello!"), chat("crash", "Hello!"), chat("teapot", "Hello!")])
def test_an_error_has_its_four_keys_and_no_others(http: httpx.Client, body: dict[str, Any]) -> None:
    response = http.post("/v1/chat/completions", json=body)

    assert response.is_error
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"error"}
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}
