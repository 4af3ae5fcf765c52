from collections.abc import Callable

import pytest
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage, StreamingChunk
from haystack.tools.tool import Tool
from haystack.utils import Secret
from openai import NotFoundError

from tests.template.e2e.server import Server

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="get_weather", description="Rain or shine?", parameters=SCHEMA, function=lambda city: "Rain.")
QUESTION = ChatMessage.from_user("What is the weather in Paris?")


def generator(server: Server, model: str) -> OpenAIChatGenerator:
    """Haystack's own component for OpenAI, turned to a server."""
    key = Secret.from_token("none")
    return OpenAIChatGenerator(api_key=key, model=model, api_base_url=f"{server.url}/v1", max_retries=0)


def reply(
    server: Server, model: str, *messages: ChatMessage, callback: Callable[[StreamingChunk], None] | None = None
) -> ChatMessage:
    """What a model answers when it may use a tool; streamed if there is a callback."""
    result = generator(server, model).run(list(messages), tools=[WEATHER], streaming_callback=callback)
    (answer,) = result["replies"]
    assert isinstance(answer, ChatMessage)
    return answer


def test_haystack_gets_a_whole_answer(shipped: Server) -> None:
    answer = reply(shipped, "echo", ChatMessage.from_system("Be brief."), ChatMessage.from_user("Hello!"))

    assert answer.text == "Hello!"
    assert answer.meta["finish_reason"] == "stop"
    assert answer.meta["model"] == "echo"


def test_haystack_gets_an_answer_chunk_by_chunk(shipped: Server) -> None:
    chunks: list[StreamingChunk] = []

    answer = reply(shipped, "echo-stream", ChatMessage.from_user("one two three"), callback=chunks.append)

    assert [chunk.content for chunk in chunks if chunk.content] == ["one", " two", " three"]
    assert answer.text == "one two three"
    assert answer.meta["finish_reason"] == "stop"


def test_haystack_gets_the_usage(shipped: Server) -> None:
    answer = reply(shipped, "echo-stream", ChatMessage.from_user("one two three"))

    usage = {name: answer.meta["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    assert usage == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


@pytest.mark.parametrize("streamed", [False, True])
def test_haystack_calls_a_tool_and_uses_its_result(shipped: Server, streamed: bool) -> None:
    callback = (lambda chunk: None) if streamed else None
    first = reply(shipped, "tools", QUESTION, callback=callback)

    (call,) = first.tool_calls
    assert (call.tool_name, call.arguments) == ("get_weather", {"city": QUESTION.text})
    assert call.id is not None
    assert call.id.startswith("call_")
    assert first.meta["finish_reason"] == "tool_calls"

    result = ChatMessage.from_tool(WEATHER.invoke(**call.arguments), origin=call)
    second = reply(shipped, "tools", QUESTION, first, result, callback=callback)

    assert second.text == "The tool says: Rain."


@pytest.mark.parametrize("streamed", [False, True])
def test_haystack_reads_parallel_calls(server: Server, streamed: bool) -> None:
    answer = reply(server, "two-calls", QUESTION, callback=(lambda chunk: None) if streamed else None)

    assert [(call.id, call.tool_name, call.arguments) for call in answer.tool_calls] == [
        ("call_a", "first", {"x": 1}),
        ("call_b", "second", {"x": 1}),
    ]


@pytest.mark.anyio
async def test_haystack_s_async_side_gets_an_answer(shipped: Server) -> None:
    chunks: list[str] = []

    async def note(chunk: StreamingChunk) -> None:
        chunks.append(chunk.content)

    component = generator(shipped, "echo-stream")
    result = await component.run_async([ChatMessage.from_user("one two three")], streaming_callback=note)
    await component.close_async()

    assert "".join(chunks) == result["replies"][0].text == "one two three"


def test_haystack_gets_an_error_of_openai_s_classes(shipped: Server) -> None:
    with pytest.raises(NotFoundError) as caught:
        reply(shipped, "none", QUESTION)

    assert caught.value.code == "model_not_found"
