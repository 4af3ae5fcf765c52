import pytest
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from openai.types.chat import (
    ChatCompletionMessage,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionMessageFunctionToolCallParam,
    ChatCompletionMessageParam,
)
from pydantic import BaseModel

from tests.template.e2e.clients import says

QUESTION = "What is the weather in Paris?"


class GetWeather(BaseModel):
    city: str


WEATHER = pydantic_function_tool(GetWeather, name="get_weather")
TWO_CALLS = [("call_a", "first", '{"x": 1}'), ("call_b", "second", '{"x": 1}')]


def functions_of(message: ChatCompletionMessage) -> list[tuple[str, str, str]]:
    """The id, name and arguments of a message's calls."""
    calls = [call for call in message.tool_calls or [] if isinstance(call, ChatCompletionMessageFunctionToolCall)]
    return [(call.id, call.function.name, call.function.arguments) for call in calls]


def after(call: ChatCompletionMessageFunctionToolCall, result: str) -> list[ChatCompletionMessageParam]:
    """The conversation after the tool was called."""
    asked: ChatCompletionMessageFunctionToolCallParam = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.function.name, "arguments": call.function.arguments},
    }
    return [
        *says(QUESTION),
        {"role": "assistant", "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": call.id, "content": result},
    ]


def test_a_tool_is_asked_for_and_its_result_used(shipped_client: OpenAI) -> None:
    first = shipped_client.chat.completions.create(model="tools", messages=says(QUESTION), tools=[WEATHER])

    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    assert call.id.startswith("call_")
    assert call.function.name == "get_weather"
    assert GetWeather.model_validate_json(call.function.arguments) == GetWeather(city=QUESTION)

    second = shipped_client.chat.completions.create(model="tools", messages=after(call, "Rain."), tools=[WEATHER])

    assert second.choices[0].message.content == "The tool says: Rain."
    assert second.choices[0].finish_reason == "stop"


def test_a_tool_is_asked_for_in_a_stream_and_its_result_used(shipped_client: OpenAI) -> None:
    with shipped_client.chat.completions.stream(model="tools", messages=says(QUESTION), tools=[WEATHER]) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        choice = stream.get_final_completion().choices[0]

    assert [(event.name, event.parsed_arguments) for event in done] == [("get_weather", GetWeather(city=QUESTION))]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None

    messages = after(choice.message.tool_calls[0], "Rain.")
    with shipped_client.chat.completions.stream(model="tools", messages=messages, tools=[WEATHER]) as stream:
        answer = stream.get_final_completion().choices[0]

    assert answer.message.content == "The tool says: Rain."
    assert answer.finish_reason == "stop"


def test_the_arguments_of_a_tool_are_parsed(shipped_client: OpenAI) -> None:
    completion = shipped_client.chat.completions.parse(model="tools", messages=says(QUESTION), tools=[WEATHER])

    assert completion.choices[0].message.tool_calls is not None
    assert completion.choices[0].message.tool_calls[0].function.parsed_arguments == GetWeather(city=QUESTION)


def test_parallel_calls_whose_arguments_interleave_are_told_apart(client: OpenAI) -> None:
    with client.chat.completions.stream(model="two-calls", messages=says(QUESTION)) as stream:
        message = stream.get_final_completion().choices[0].message

    assert functions_of(message) == TWO_CALLS


def test_calls_collected_equal_calls_streamed(client: OpenAI) -> None:
    collected = client.chat.completions.create(model="two-calls", messages=says(QUESTION)).choices[0]
    with client.chat.completions.stream(model="two-calls", messages=says(QUESTION)) as stream:
        streamed = stream.get_final_completion().choices[0]

    assert collected.finish_reason == streamed.finish_reason == "tool_calls"
    assert functions_of(collected.message) == functions_of(streamed.message)


@pytest.mark.anyio
async def test_the_async_client_reads_calls_too(async_client: AsyncOpenAI) -> None:
    collected = await async_client.chat.completions.create(model="two-calls", messages=says(QUESTION))
    async with async_client.chat.completions.stream(model="two-calls", messages=says(QUESTION)) as stream:
        streamed = await stream.get_final_completion()

    assert functions_of(collected.choices[0].message) == functions_of(streamed.choices[0].message) == TWO_CALLS


def test_the_name_and_the_id_of_a_call_go_out_once(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="two-calls", messages=says(QUESTION), stream=True))

    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert [(call.index, call.id, call.type, call.function and call.function.name) for call in deltas] == [
        (0, "call_a", "function", "first"),
        (1, "call_b", "function", "second"),
        (0, None, None, None),
        (1, None, None, None),
        (0, None, None, None),
        (1, None, None, None),
    ]
