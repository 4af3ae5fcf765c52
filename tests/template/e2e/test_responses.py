"""Clients of the Responses API over a real connection: OpenAI's own, its Agents SDK, and LangChain; and a Redis."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from functools import partial, reduce
from operator import add
from threading import Event
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, SecretStr

from app.errors import CompletionError
from app.services import Body, Messages, last_text
from app.settings import Secret
from schemas.chat import Delta, FunctionCallDelta, Json, ToolCallDelta
from tests.conftest import PATIENCE, live, returning, until
from tests.template.e2e.redis import Redis, needs_redis

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "true"  # before it is imported: it would send traces to OpenAI
pytestmark = pytest.mark.anyio
QUESTION = "What is the weather in Paris?"
ANSWER = "The tool says: Rain in Paris."


class Status:
    def to_event_dict(self) -> Json:
        return {"type": "status"}


async def talk(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Delta | Status]:
    """Reason, send an event, and then call the first tool, or answer: with what the tool returned, or in JSON."""
    yield Delta(reasoning_content="Hm.")
    yield Status()
    if messages[-1]["role"] == "tool":
        yield "The tool says: "
        yield last_text(messages)
    elif tools := body.get("tools"):
        name = tools[0]["function"]["name"]
        yield Delta(tool_calls=[ToolCallDelta(index=0, id="call_1", function=FunctionCallDelta(name=name))])
        for piece in ('{"city": ', '"Paris"}'):
            yield Delta(tool_calls=[ToolCallDelta(index=0, function=FunctionCallDelta(arguments=piece))])
    elif "response_format" in body:
        yield '{"city": "Paris", '
        yield '"temperature": 21}'
    else:
        yield "Hello"
        yield ", world"


class Weather(BaseModel):
    city: str
    temperature: int


CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": CITY, "strict": False}


@pytest.fixture(scope="module")
def client() -> Iterator[OpenAI]:
    with live(talk) as client, client:
        yield client


@pytest.fixture
async def async_client(client: OpenAI) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=client.base_url, api_key="none", max_retries=0, timeout=PATIENCE) as async_client:
        yield async_client


async def test_the_async_client_streams_a_text(async_client: AsyncOpenAI) -> None:
    async with async_client.responses.stream(model="test", input="Hello!") as stream:
        snapshots = [event.snapshot async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()

    assert snapshots == ["Hello", "Hello, world"]
    assert final.output_text == "Hello, world"


def test_a_text_is_parsed_by_the_schema_that_was_asked_for(client: OpenAI) -> None:
    parsed = client.responses.parse(model="test", input=QUESTION, text_format=Weather)
    with client.responses.stream(model="test", input=QUESTION, text_format=Weather) as stream:
        streamed = stream.get_final_response()

    assert parsed.output_parsed == streamed.output_parsed == Weather(city="Paris", temperature=21)


@pytest.mark.parametrize("store", [True, False])
def test_a_tool_is_called_in_a_stream_and_its_output_is_used(client: OpenAI, store: bool) -> None:
    with client.responses.stream(model="test", input=QUESTION, tools=[WEATHER], store=store) as stream:
        done = [event.arguments for event in stream if event.type == "response.function_call_arguments.done"]
        first = stream.get_final_response()
    call: Any = first.output[-1]
    assert (call.name, [call.arguments]) == ("get_weather", done)

    sent: list[Any] = [{"type": "function_call_output", "call_id": call.call_id, "output": "Rain in Paris."}]
    previous: Any = {"previous_response_id": first.id} if store else {}
    if not store:
        sent = [{"role": "user", "content": QUESTION}, *(item.to_dict() for item in first.output), *sent]
    second = client.responses.create(model="test", input=sent, store=store, **previous)

    assert second.output_text == ANSWER
    assert second.previous_response_id == (first.id if store else None)


def get_weather(city: str) -> str:
    return f"Rain in {city}."


@pytest.mark.parametrize("goes_on", [False, True])
async def test_an_agent_calls_its_tool_and_answers(async_client: AsyncOpenAI, goes_on: bool) -> None:
    agents: Any = pytest.importorskip("agents", reason="the group `clients` is not installed")
    model = agents.OpenAIResponsesModel("test", async_client)
    agent = agents.Agent(name="A", model=model, tools=[agents.function_tool(get_weather)])
    run = agents.Runner.run_streamed(agent, QUESTION, auto_previous_response_id=goes_on)
    events = [event async for event in run.stream_events() if event.type == "run_item_stream_event"]

    assert run.final_output == ANSWER == (await agents.Runner.run(agent, QUESTION)).final_output
    names = [event.name for event in events if event.name != "reasoning_item_created"]
    assert names == ["tool_called", "tool_output", "message_output_created"]


@pytest.fixture
def langchain(client: OpenAI) -> Iterator[Any]:
    """Makes a model of LangChain's."""
    langchain_openai = pytest.importorskip("langchain_openai", reason="the group `clients` is not installed")
    options = {"model": "test", "base_url": str(client.base_url), "api_key": SecretStr("none"), "max_retries": 0}
    with httpx.Client(timeout=PATIENCE) as http:  # its own is closed by nobody
        yield partial(langchain_openai.ChatOpenAI, use_responses_api=True, http_client=http, **options)


def added(chunks: Iterator[Any]) -> Any:
    return reduce(add, chunks)


def test_langchain_streams_the_text_that_it_reads_whole(langchain: Any) -> None:
    assert added(langchain().stream("Hello!")).text == langchain().invoke("Hello!").text == "Hello, world"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("goes_on", [False, True])
def test_langchain_calls_a_tool_and_reads_the_answer(langchain: Any, stream: bool, goes_on: bool) -> None:
    bound = langchain(use_previous_response_id=goes_on).bind_tools([WEATHER])
    asked = added(bound.stream(QUESTION)) if stream else bound.invoke(QUESTION)
    assert [(call["name"], call["args"]) for call in asked.tool_calls] == [("get_weather", {"city": "Paris"})]

    output = {"role": "tool", "content": "Rain in Paris.", "tool_call_id": asked.tool_calls[0]["id"]}
    assert bound.invoke([{"role": "user", "content": QUESTION}, asked, output]).text == ANSWER


class Gate:
    """A model that waits after its first items until the gate is opened."""

    def __init__(self, *items: str, error: Exception | None = None) -> None:
        self.items = items
        self.error = error
        self.opened, self.closed = Event(), Event()

    async def __call__(self, model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        try:
            for item in self.items:
                yield item
            await asyncio.to_thread(self.opened.wait, PATIENCE)
            if self.error:
                raise self.error
            yield "last"
        finally:
            self.closed.set()


@pytest.mark.parametrize(
    ("error", "events"),
    [
        (None, ["created", "in_progress", "output_item.added"]),
        (CompletionError("Late."), ["created", "in_progress", "failed"]),
    ],
    ids=["text", "error"],
)
def test_a_silent_stream_sends_comments_before_the_response_begins(error: Exception | None, events: list[str]) -> None:
    gate = Gate(error=error)
    body = {"model": "test", "input": "Hello!", "stream": True}
    with (
        live(gate, keep_alive_interval=0.05) as client,
        client,
        httpx.stream("POST", f"{client.base_url}responses", json=body, timeout=PATIENCE) as response,
    ):
        received = response.iter_text()
        assert next(received).startswith(": keep-alive\n\n")
        gate.opened.set()
        names = re.findall(r"^event: response\.(.+)$", "".join(received), re.MULTILINE)

    assert names[:3] == events


@pytest.mark.parametrize("finishes", [False, True])
def test_a_client_that_leaves_ends_the_response_unless_the_settings_let_it_finish(finishes: bool) -> None:
    gate = Gate("first ")
    with live(gate, finish_without_client=finishes) as client, client:
        with client.responses.create(model="test", input="Hello!", stream=True) as stream:
            created = next(iter(stream))
        assert created.type == "response.created"
        if finishes:
            for _ in range(5):  # the server sees meanwhile that the client has left
                client.models.list()
            gate.opened.set()
        assert gate.closed.wait(PATIENCE)
        gate.opened.set()
        kept = f"{client.base_url}responses/{created.response.id}"
        if finishes:
            until(lambda: httpx.get(kept).status_code == 200)
            assert client.responses.retrieve(created.response.id).output_text == "first last"


@needs_redis
def test_servers_that_share_a_redis_share_responses_as_long_as_it_answers(caplog: pytest.LogCaptureFixture) -> None:
    model = returning("Hello, world")
    with Redis() as redis:
        settings: Json = {"redis_url": Secret(redis.url)}
        with live(model, **settings) as first, first, live(model, **settings) as second, second:
            made = first.responses.create(model="test", input="Hello!")
            assert second.responses.retrieve(made.id).output_text == "Hello, world"
            redis.stop()
            assert first.responses.create(model="test", input="Hello!").output_text == "Hello, world"
            with pytest.raises(openai.InternalServerError) as caught:
                first.responses.retrieve(made.id)
    assert caught.value.status_code == 503
    assert "A response could not be kept" in caplog.text
