"""Clients of the Responses API over a real connection: OpenAI's own, its Agents SDK, and LangChain; and a Redis."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from functools import partial, reduce
from operator import add
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from openai.types.responses import FunctionToolParam, ResponseFunctionToolCall
from pydantic import BaseModel, SecretStr

from app.errors import CompletionError
from app.services import Body, Messages, last_text
from app.settings import Secret
from schemas.chat import Delta, FunctionCallDelta, Json, ToolCallDelta
from tests.conftest import PATIENCE, live, returning, until
from tests.template.e2e.redis import Redis, needs_redis
from tests.template.e2e.server import free_port

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "true"  # before it is imported: it would send traces to OpenAI
pytestmark = pytest.mark.anyio
QUESTION = "What is the weather in Paris?"
ARGUMENTS = {"city": "Paris"}
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


WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "parameters": pydantic_function_tool(Weather)["function"]["parameters"],
    "strict": True,
}


@pytest.fixture(scope="module")
def client() -> Iterator[OpenAI]:
    with live(talk) as client:
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
    call = first.output[-1]
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.name, [call.arguments]) == ("get_weather", done)

    sent: list[Any] = [{"type": "function_call_output", "call_id": call.call_id, "output": "Rain in Paris."}]
    previous: Any = {"previous_response_id": first.id} if store else {}
    if not store:
        sent = [{"role": "user", "content": QUESTION}, *(item.to_dict() for item in first.output), *sent]
    second = client.responses.create(model="test", input=sent, store=store, **previous)

    assert second.output_text == ANSWER
    assert second.previous_response_id == (first.id if store else None)


def test_a_kept_response_is_retrieved_listed_and_deleted(client: OpenAI) -> None:
    made = client.responses.create(model="test", input="Hello!")
    assert client.responses.retrieve(made.id).output_text == "Hello, world"
    assert [item.type for item in client.responses.input_items.list(made.id)] == ["message"]
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


@pytest.fixture
def agents() -> Any:
    """OpenAI's Agents SDK."""
    return pytest.importorskip("agents", reason="the group `clients` is not installed")


def agent_of(agents: Any, client: AsyncOpenAI, *, with_tool: bool = True) -> Any:
    @agents.function_tool
    def get_weather(city: str) -> str:
        """Return the weather in a city."""
        return f"Rain in {city}."

    tools = [get_weather] if with_tool else []
    return agents.Agent(name="A", model=agents.OpenAIResponsesModel("test", client), tools=tools)


@pytest.mark.parametrize(
    ("with_tool", "answer", "items"),
    [
        (True, ANSWER, ["tool_called", "tool_output", "message_output_created"]),
        (False, "Hello, world", ["message_output_created"]),
    ],
    ids=["tool", "text"],
)
async def test_an_agent_calls_its_tool_and_answers_in_a_stream(
    agents: Any, async_client: AsyncOpenAI, with_tool: bool, answer: str, items: list[str]
) -> None:
    run = agents.Runner.run_streamed(agent_of(agents, async_client, with_tool=with_tool), QUESTION)
    names = [event.name async for event in run.stream_events() if event.type == "run_item_stream_event"]

    assert run.final_output == answer
    assert [name for name in names if name != "reasoning_item_created"] == items


async def test_an_agent_goes_on_from_the_previous_response(agents: Any, async_client: AsyncOpenAI) -> None:
    run = await agents.Runner.run(agent_of(agents, async_client), QUESTION, auto_previous_response_id=True)
    assert run.final_output == ANSWER


@pytest.fixture
def langchain(client: OpenAI) -> Any:
    """Makes a model of LangChain's."""
    langchain_openai = pytest.importorskip("langchain_openai", reason="the group `clients` is not installed")
    return partial(
        langchain_openai.ChatOpenAI,
        model="test",
        base_url=str(client.base_url),
        api_key=SecretStr("none"),
        use_responses_api=True,
        max_retries=0,
    )


def added(chunks: Iterator[Any]) -> Any:
    return reduce(add, chunks)


def test_langchain_streams_the_text_that_it_reads_whole(langchain: Any) -> None:
    assert added(langchain().stream("Hello!")).text == langchain().invoke("Hello!").text == "Hello, world"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("goes_on", [False, True])
def test_langchain_calls_a_tool_and_reads_the_answer(langchain: Any, stream: bool, goes_on: bool) -> None:
    bound = langchain(use_previous_response_id=goes_on).bind_tools([WEATHER])
    asked = added(bound.stream(QUESTION)) if stream else bound.invoke(QUESTION)
    assert [(call["name"], call["args"]) for call in asked.tool_calls] == [("get_weather", ARGUMENTS)]

    output = {"role": "tool", "content": "Rain in Paris.", "tool_call_id": asked.tool_calls[0]["id"]}
    assert bound.invoke([{"role": "user", "content": QUESTION}, asked, output]).text == ANSWER


def stream_of(client: OpenAI, input: str = "Hello!") -> AbstractContextManager[httpx.Response]:
    body = {"model": "test", "input": input, "stream": True}
    return httpx.stream("POST", f"{client.base_url}responses", json=body, timeout=PATIENCE)


def test_a_generator_is_closed_when_its_client_leaves() -> None:
    closed = Event()

    async def endless(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        try:
            while True:
                yield "again "
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    with live(endless) as client:
        with client.responses.create(model="test", input="Hello!", stream=True) as stream:
            next(iter(stream))
        assert closed.wait(PATIENCE)


class Gate:
    """A model that waits, after its first items, until the gate is opened."""

    def __init__(self, *items: str) -> None:
        self.items = items
        self.opened = Event()
        self.error: Exception | None = None

    async def __call__(self, model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        for item in self.items:
            yield item
        await asyncio.to_thread(self.opened.wait, PATIENCE)
        if self.error:
            raise self.error
        yield "last"


@pytest.mark.parametrize(
    ("error", "events"),
    [
        (None, ["created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"]),
        (CompletionError("Late."), ["created", "in_progress", "failed"]),
    ],
    ids=["text", "error"],
)
def test_a_silent_stream_sends_comments_before_the_response_begins(error: Exception | None, events: list[str]) -> None:
    gate = Gate()
    gate.error = error
    with live(gate, keep_alive_interval=0.05) as client, stream_of(client) as response:
        received = response.iter_text()
        assert next(received).startswith(": keep-alive\n\n")
        gate.opened.set()
        names = re.findall(r"^event: response\.(.+)$", "".join(received), re.MULTILINE)

    assert names[:5] == events


def test_a_response_is_kept_whole_although_its_client_left() -> None:
    gate = Gate("first ")
    with live(gate, finish_without_client=True) as client:
        with client.responses.create(model="test", input="Hello!", stream=True) as stream:
            created = next(iter(stream))
        assert created.type == "response.created"
        for _ in range(5):
            assert client.models.list()
        gate.opened.set()
        path = f"{client.base_url}responses/{created.response.id}"
        until(lambda: httpx.get(path).status_code == 200)
        assert client.responses.retrieve(created.response.id).output_text == "first last"


@needs_redis
def test_servers_that_share_a_redis_share_responses_as_long_as_it_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = returning("Hello, world")
    with Redis(tmp_path, free_port()) as redis:
        settings = {"redis_url": Secret(redis.url)}
        with live(model, **settings) as first, live(model, **settings) as second:
            made = first.responses.create(model="test", input="Hello!")
            assert second.responses.retrieve(made.id).output_text == "Hello, world"
            redis.stop()
            assert first.responses.create(model="test", input="Hello!").output_text == "Hello, world"
            with pytest.raises(openai.InternalServerError) as caught:
                first.responses.retrieve(made.id)
    assert caught.value.status_code == 503
    assert "A response could not be kept" in caplog.text
