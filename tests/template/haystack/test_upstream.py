"""The model `chat`: a proxy to an OpenAI-compatible upstream."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from threading import Event

import pytest
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.utils import Secret as HaystackSecret

from app.app import create_app
from app.haystack import upstream as upstream_module
from app.haystack.model import haystack_component
from app.haystack.models import models
from app.haystack.upstream import upstream_generator
from app.services import Body, Messages
from app.settings import Secret, Settings
from schemas.chat import Delta, FunctionCallDelta, Json, ToolCallDelta, Usage
from tests.conftest import PATIENCE, Client, Serve, ask, chunks_of, error_of, live, message_of, yielding
from tests.template.asgi import AsgiClient, until
from tests.template.haystack.answers import Answer, answer_from, usage_of
from tests.template.haystack.generators import each_mode
from tests.template.upstream import Upstream

SECRET = "the key sk-12345 of the account acme"  # noqa: S105 - which an upstream may well name
FAILED = {"message": "The upstream model failed.", "type": "server_error", "param": None, "code": "upstream_error"}
HELLO: Json = {"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}
HEL = {"choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]}
SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}
TOOL: Json = {"type": "function", "function": {"name": "get_weather", "strict": True, "parameters": SCHEMA}}
DESCRIBED = {"type": "function", "function": {"name": "f", "description": "Knows it.", "parameters": SCHEMA}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": {"type": "object"}}}
CALL = {"id": "call_a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
FIELDS: Json = {
    "temperature": 0.25,
    "stop": ["\n", "END"],
    "seed": None,
    "logit_bias": {"42": -100},
    "metadata": {"from": "a test"},
    "response_format": FORMAT,
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    "parallel_tool_calls": False,
    "brand_new": {"deeply": [{"nested": None}], "über": 1},
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Paris? ☃"},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_a", "content": "Rain."},
    ],
}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        server.answers({"object": "chat.completion", "choices": [HELLO]})
        yield server


@pytest.fixture
def client(serve: Serve, upstream: Upstream) -> Client:
    return chat_of(serve, f"{upstream.url}/v1")


def chat_of(serve: Serve, url: object, key: str = "", model: str = "small") -> Client:
    return serve(models, openai_model=model, openai_base_url=str(url), openai_api_key=Secret(key))


@pytest.mark.parametrize(("model", "offered"), [("", False), ("small", True)])
def test_chat_is_offered_if_the_settings_name_its_model(serve: Serve, model: str, offered: bool) -> None:
    client = serve(models, openai_model=model)

    assert ("chat" in {each["id"] for each in client.get("/v1/models").json()["data"]}) is offered
    if not offered:
        assert ask(client, model="chat").status_code == 404


@pytest.mark.parametrize(("key", "expected"), [("sk-123", "Bearer sk-123"), ("", "Bearer none")])
def test_the_upstream_gets_its_own_key_and_the_model_of_the_settings(
    serve: Serve, upstream: Upstream, key: str, expected: str
) -> None:
    client = chat_of(serve, f"{upstream.url}/v1", key)
    client.headers["authorization"] = "Bearer the client's own"

    assert message_of(ask(client, model="chat"))["content"] == "Hello!"

    ((path, headers, body),) = upstream.requests
    assert (path, headers["authorization"], json.loads(body)["model"]) == ("/v1/chat/completions", expected, "small")


@pytest.mark.anyio
@pytest.mark.parametrize("variable", [None, "", "https://elsewhere.example/v1"])
async def test_openai_itself_is_the_upstream_unless_the_settings_name_another(
    monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    if variable is not None:
        monkeypatch.setenv("OPENAI_BASE_URL", variable)  # only the settings read it

    generator = upstream_generator(Settings(openai_model="small"))
    await generator.warm_up_async()

    assert str(generator.async_client.base_url) == "https://api.openai.com/v1/"  # type: ignore[union-attr]  # just made
    await generator.close_async()


@each_mode
def test_the_upstream_gets_every_field_as_it_was_sent(upstream: Upstream, client: Client, stream: bool) -> None:
    fields = FIELDS | ({"stream_options": {"include_usage": False}} if stream else {})

    ask(client, model="chat", stream=stream, **fields)

    assert upstream.bodies == [{"model": "small", "n": 1, "stream": stream, **fields}]


@pytest.mark.parametrize("fields", [{"tools": [DESCRIBED], "tool_choice": "auto"}, {"response_format": FORMAT}])
def test_haystacks_generator_for_openai_sends_what_the_client_sent(
    serve: Serve, upstream: Upstream, fields: Json
) -> None:
    generator = OpenAIChatGenerator(HaystackSecret.from_token("none"), "small", api_base_url=f"{upstream.url}/v1")
    fields = {**fields, "messages": FIELDS["messages"], "logit_bias": {"42": -100}}

    ask(serve(haystack_component(generator)), **fields)

    assert upstream.bodies == [{"model": "small", "n": 1, "stream": False, **fields}]


def test_the_upstream_is_asked_once_for_each_of_several_answers(upstream: Upstream, client: Client) -> None:
    response = ask(client, model="chat", n=2)

    assert [choice["index"] for choice in response.json()["choices"]] == [0, 1]
    assert [body["n"] for body in upstream.bodies] == [1, 1]


@each_mode
def test_text_tool_calls_and_usage_come_through(serve: Serve, stream: bool) -> None:
    call = ToolCallDelta(index=0, id="call_a", function=FunctionCallDelta(name="f", arguments='{"city":"Paris"}'))
    model = yielding("one", " two", Delta(tool_calls=[call]), Usage(prompt_tokens=3, completion_tokens=2))

    with live(model) as server:
        answer = answer_from(chat_of(serve, server.base_url, model="test"), model="chat", tools=[TOOL], stream=stream)

    calls = [("call_a", "f", '{"city":"Paris"}')]
    assert answer == Answer("one two", calls=calls, finish_reason="tool_calls", usage=answer.usage)
    assert usage_of(3, 2).items() <= answer.usage.items()


@each_mode
@pytest.mark.parametrize(
    ("status", "expected", "fields"),
    [
        (400, 400, {"message": SECRET, "type": "invalid_request_error", "param": SECRET, "code": SECRET}),
        (401, 502, FAILED),
        (408, 502, FAILED),
        (429, 429, {"type": "rate_limit_error", "code": "rate_limit_exceeded"}),
        (503, 502, FAILED),
    ],
)
def test_a_failed_upstream_is_asked_once_and_tells_the_client_about_its_request_alone(
    upstream: Upstream, client: Client, status: int, expected: int, fields: Json, stream: bool
) -> None:
    said = {"message": SECRET, "code": SECRET, "param": SECRET, "type": SECRET}
    upstream.answers({"error": said}, status, retry_after="7", x_account=SECRET)

    response = ask(client, model="chat", stream=stream)

    assert (response.status_code, response.headers.get("retry-after")) == (expected, "7" if status == 429 else None)
    assert fields.items() <= error_of(response).items()
    assert "x-account" not in response.headers
    assert (SECRET in response.text) is (status == 400)
    assert len(upstream.requests) == 1


@each_mode
def test_an_upstream_that_sends_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, upstream: Upstream, stream: bool
) -> None:
    monkeypatch.setattr(upstream_module, "TIMEOUT", 0.2)
    upstream.silent.set()

    response = ask(chat_of(serve, f"{upstream.url}/v1"), model="chat", stream=stream)

    assert (response.status_code, error_of(response)["code"]) == (504, "timeout")


def test_a_page_instead_of_an_answer_is_a_failure_that_repeats_nothing(upstream: Upstream, client: Client) -> None:
    upstream.answers(f"<html>{SECRET}</html>")  # as a base URL without /v1 may give

    response = ask(client, model="chat")

    assert response.status_code >= 500
    assert error_of(response)["type"] == "server_error"
    assert SECRET not in response.text


def test_an_upstream_that_breaks_off_ends_the_stream_with_an_error(upstream: Upstream, client: Client) -> None:
    upstream.answers(f"data: {json.dumps(HEL)}\n\n", content_type="text/event-stream", content_length="100000")

    *chunks, error = chunks_of(ask(client, model="chat", stream=True))

    assert error == {"error": FAILED}
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == ["", "Hel"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None]


@pytest.mark.anyio
@each_mode
async def test_chunks_are_passed_on_at_once_and_the_upstream_stops_when_the_client_leaves(stream: bool) -> None:
    started, closed = Event(), Event()

    async def endless(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        started.set()
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            closed.set()

    with live(endless) as server:
        settings = Settings(openai_model="test", openai_base_url=str(server.base_url))
        app = create_app(settings=settings, pipelines=models)
        async with app.lifespan():
            async with AsgiClient(app, "chat", stream=stream) as client:
                await until(lambda: b"first" in client.received if stream else started.is_set())
                assert not closed.is_set()
            assert await asyncio.to_thread(closed.wait, PATIENCE)
