"""Haystack's own generator for OpenAI as a client of a real server."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage, StreamingChunk
from haystack.tools.tool import Tool
from haystack.utils import Secret
from openai import NotFoundError

from app.examples.models import models
from tests.conftest import KEY, live, yielding
from tests.template.haystack.answers import usage_of
from tests.template.haystack.generators import calling, each_mode, finished

QUESTION = ChatMessage.from_user("Paris?")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="get_weather", description="", parameters=SCHEMA, function=lambda city: "Rain.")


@contextmanager
def client_of(server_model: Any, *, model: str = "test") -> Iterator[OpenAIChatGenerator]:
    """Return a generator that asks a server around a model."""
    with live(server_model) as openai, ExitStack() as stack:
        key, url = Secret.from_token(KEY), str(openai.base_url)
        yield stack.enter_context(closing(OpenAIChatGenerator(key, model, api_base_url=url, max_retries=0)))


@each_mode
def test_it_calls_a_tool_and_sends_its_result(stream: bool) -> None:
    callback = (lambda chunk: None) if stream else None

    with client_of(models.models["tools"].function) as client:
        (asked,) = client.run([QUESTION], callback, tools=[WEATHER])["replies"]
        (call,) = asked.tool_calls
        result = ChatMessage.from_tool(WEATHER.invoke(**call.arguments), origin=call)
        (answered,) = client.run([QUESTION, asked, result], callback, tools=[WEATHER])["replies"]

    assert (call.tool_name, call.arguments) == ("get_weather", {"city": "Paris?"})
    assert (asked.meta["finish_reason"], asked.meta["model"]) == ("tool_calls", "test")
    assert (answered.text, answered.meta["finish_reason"]) == ("The tool says: Rain.", "stop")


@pytest.mark.anyio
async def test_it_reads_text_parallel_calls_and_usage_of_a_stream_on_the_event_loop() -> None:
    chunks: list[str] = []

    async def note(chunk: StreamingChunk) -> None:
        chunks.append(chunk.content)

    calls = [calling(0, id="call_a", name="first"), calling(1, id="call_b", name="second")]
    arguments = [calling(0, '{"x":'), calling(1, "{}"), calling(0, " 1}")]
    model = yielding("Two ", "calls.", *calls, *arguments, finished("tool_calls", prompt=3, completion=5))

    with client_of(model) as client:
        options: Any = {"stream_options": {"include_usage": True}}
        (reply,) = (await client.run_async([QUESTION], note, options))["replies"]
        await client.close_async()

    assert [chunk for chunk in chunks if chunk] == ["Two ", "calls."]
    assert [(call.id, call.tool_name, call.arguments) for call in reply.tool_calls] == [
        ("call_a", "first", {"x": 1}),
        ("call_b", "second", {}),
    ]
    assert usage_of(3, 5).items() <= reply.meta["usage"].items()


def test_it_raises_an_error_of_openais_classes() -> None:
    with client_of(yielding(), model="none") as client, pytest.raises(NotFoundError) as caught:
        client.run([QUESTION])

    assert caught.value.code == "model_not_found"
