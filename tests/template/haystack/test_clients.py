"""OpenAI's client and Haystack's own generator for OpenAI as clients of a real server."""

from collections.abc import Iterator
from typing import Any

import pytest
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage, StreamingChunk
from haystack.tools.tool import Tool
from haystack.utils import Secret
from openai import AsyncOpenAI, NotFoundError, OpenAI, pydantic_function_tool
from pydantic import BaseModel

from app.examples.models import models
from app.haystack.model import haystack_component
from app.services import Body, Messages
from tests.conftest import KEY, live
from tests.template.haystack.generators import AsyncGenerator, calling, each_mode, finished, says, usage_of

PARIS = "What is the weather in Paris?"
QUESTION = {"role": "user", "content": PARIS}
CALLS = [("call_a", "first", '{"x": 1}'), ("call_b", "second", "{}")]
TOOLS = models.models["tools"].function
TWO_CALLS = haystack_component(
    AsyncGenerator(
        says(
            "Two ", "calls.", calling(0, id="call_a", name="first"), calling(1, id="call_b", name="second"),
            calling(0, '{"x":'), calling(1, "{}"), calling(0, " 1}"), finished("tool_calls", prompt=3, completion=5),
        )
    )
)  # fmt: skip


class GetWeather(BaseModel):
    city: str


async def model(model: str, messages: Messages, body: Body) -> object:
    """Answer with the model `tools` if there is a tool, otherwise with a generator that makes two calls."""
    return TOOLS(model, messages, body) if body.get("tools") else await TWO_CALLS(model, messages, body)


@pytest.fixture(scope="module")
def client() -> Iterator[OpenAI]:
    with live(model) as client:
        yield client


@each_mode
def test_openais_client_calls_a_tool_with_parsed_arguments_and_sends_its_result(client: OpenAI, stream: bool) -> None:
    def ask(*later: Any) -> Any:
        tools = [pydantic_function_tool(GetWeather, name="get_weather")]
        options: Any = {"model": "test", "messages": [QUESTION, *later], "tools": tools}
        if not stream:
            return client.chat.completions.parse(**options).choices[0]
        with client.chat.completions.stream(**options) as events:
            return events.get_final_completion().choices[0]

    asked = ask()
    (call,) = asked.message.tool_calls
    answered = ask(asked.message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "Rain."})

    assert (asked.finish_reason, call.function.name) == ("tool_calls", "get_weather")
    assert call.function.parsed_arguments == GetWeather(city=PARIS)
    assert (answered.finish_reason, answered.message.content) == ("stop", "The tool says: Rain.")


@pytest.mark.anyio
@each_mode
async def test_openais_async_client_reads_text_interleaved_calls_and_usage(client: OpenAI, stream: bool) -> None:
    async with AsyncOpenAI(base_url=client.base_url, api_key=KEY, max_retries=0) as openai:
        options: Any = {"model": "test", "messages": [QUESTION]}
        if stream:
            usage: Any = {"include_usage": True}
            async with openai.chat.completions.stream(**options, stream_options=usage) as events:
                deltas = [event.delta async for event in events if event.type == "content.delta"]
                completion: Any = await events.get_final_completion()
            assert deltas == ["", "Two ", "calls."]
        else:
            completion = await openai.chat.completions.create(**options)

    message = completion.choices[0].message
    calls = [(call.id, call.function.name, call.function.arguments.replace(":1", ": 1")) for call in message.tool_calls]
    assert (message.content, calls, completion.choices[0].finish_reason) == ("Two calls.", CALLS, "tool_calls")
    assert usage_of(3, 5).items() <= completion.usage.to_dict().items()


def generator_for(client: OpenAI, model: str = "test") -> OpenAIChatGenerator:
    key, url = Secret.from_token(KEY), str(client.base_url)
    return OpenAIChatGenerator(api_key=key, model=model, api_base_url=url, max_retries=0)


@each_mode
def test_haystacks_generator_calls_a_tool_and_sends_its_result(client: OpenAI, stream: bool) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = Tool(name="get_weather", description="", parameters=schema, function=lambda city: "Rain.")
    question = ChatMessage.from_user(PARIS)

    def ask(*messages: ChatMessage) -> ChatMessage:
        callback = (lambda chunk: None) if stream else None
        (reply,) = generator_for(client).run([*messages], tools=[tool], streaming_callback=callback)["replies"]
        assert isinstance(reply, ChatMessage)
        return reply

    asked = ask(question)
    (call,) = asked.tool_calls
    answered = ask(question, asked, ChatMessage.from_tool(tool.invoke(**call.arguments), origin=call))

    assert (call.tool_name, call.arguments) == ("get_weather", {"city": PARIS})
    assert (asked.meta["finish_reason"], asked.meta["model"]) == ("tool_calls", "test")
    assert answered.text == "The tool says: Rain."


@pytest.mark.anyio
async def test_haystacks_generator_reads_a_stream_on_the_event_loop(client: OpenAI) -> None:
    chunks: list[str] = []

    async def note(chunk: StreamingChunk) -> None:
        chunks.append(chunk.content)

    generator = generator_for(client)
    options: Any = {"stream_options": {"include_usage": True}}
    result = await generator.run_async([ChatMessage.from_user(PARIS)], note, options)
    await generator.close_async()

    reply: Any = result["replies"][0]
    assert [chunk for chunk in chunks if chunk] == ["Two ", "calls."]
    assert [(call.id, call.tool_name) for call in reply.tool_calls] == [("call_a", "first"), ("call_b", "second")]
    assert usage_of(3, 5).items() <= reply.meta["usage"].items()


def test_haystacks_generator_raises_an_error_of_openais_classes(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as caught:
        generator_for(client, "none").run([ChatMessage.from_user(PARIS)])

    assert caught.value.code == "model_not_found"
