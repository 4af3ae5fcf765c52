"""Agents as models: their tools are called here, and the client sees what they do as events."""

import asyncio
import threading
from typing import Any, TypeAlias

import pytest
from haystack import Pipeline, component
from haystack.components.agents import Agent
from haystack.components.builders import ChatPromptBuilder
from haystack.dataclasses import ChatMessage
from haystack.tools.tool import Tool

from app.haystack.model import haystack_component, haystack_pipeline
from tests.conftest import SERVER_ERROR, Serve, ask, chunks_of, error_of
from tests.template.conftest import finish_reason_of
from tests.template.haystack.answers import answer_of, events_of
from tests.template.haystack.generators import (
    AsyncGenerator,
    Script,
    SyncGenerator,
    calling,
    finished,
    in_turn,
    says,
    thought,
    usage_of,
)

Kind: TypeAlias = type[AsyncGenerator] | type[SyncGenerator]

EACH = pytest.mark.parametrize("stream", [False, True])
EACH_KIND = pytest.mark.parametrize("kind", [AsyncGenerator, SyncGenerator])
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLIENTS_TOOL = {"type": "function", "function": {"name": "theirs", "parameters": SCHEMA}}
USAGE = {"stream_options": {"include_usage": True}}


def weather(city: str) -> str:
    with pytest.raises(RuntimeError):  # it must not hold the event loop
        asyncio.get_running_loop()
    return f"Rain in {city}."


async def weather_async(city: str) -> str:
    asyncio.get_running_loop()
    return f"Rain in {city}."


def broken(city: str) -> str:
    raise RuntimeError("No station there")


SYNC_TOOL = Tool(name="weather", description="", parameters=SCHEMA, function=weather)
ASYNC_TOOL = Tool(name="weather", description="", parameters=SCHEMA, async_function=weather_async)
BROKEN_TOOL = Tool(name="weather", description="", parameters=SCHEMA, function=broken)

CALL = says(
    "Let me ", "look.",
    calling(0, id="call_a", name="weather"), calling(0, '{"city": '), calling(0, '"Rome"}'),
    finished("tool_calls", prompt=3, completion=5),
)  # fmt: skip
ANSWER = says("It ", "rains.", finished(prompt=10, completion=2))
TWO_CALLS = says(
    calling(0, '{"city": "Rome"}', id="call_a", name="weather"),
    calling(1, '{"city": "Oslo"}', id="call_b", name="weather"),
    finished("tool_calls"),
)


def agent_of(*scripts: Script, kind: Kind = AsyncGenerator, tool: Tool = SYNC_TOOL, **options: Any) -> Agent:
    return Agent(chat_generator=kind(in_turn(*scripts)), tools=[tool], **options)


@EACH
@EACH_KIND
@pytest.mark.parametrize("tool", [SYNC_TOOL, ASYNC_TOOL], ids=["sync tool", "async tool"])
def test_an_agent_says_what_it_has_to_say_before_and_after_its_tool(
    serve: Serve, kind: Kind, tool: Tool, stream: bool
) -> None:
    client = serve(haystack_component(agent_of(CALL, ANSWER, kind=kind, tool=tool)))

    answer = answer_of(ask(client, stream=stream, **(USAGE if stream else {})))

    assert answer.content == "Let me look.\n\nIt rains."
    assert (answer.calls, answer.finish_reason) == ([], "stop")
    assert answer.usage == usage_of(13, 7)


@EACH_KIND
def test_the_text_of_an_agent_comes_chunk_by_chunk(serve: Serve, kind: Kind) -> None:
    response = ask(serve(haystack_component(agent_of(CALL, ANSWER, kind=kind))), stream=True)

    texts = [choice["delta"].get("content") for chunk in chunks_of(response) for choice in chunk["choices"]]
    assert texts == ["", "Let me ", "look.", "\n\nIt ", "rains.", None]


@EACH_KIND
def test_a_call_and_its_result_are_events_in_their_place(serve: Serve, kind: Kind) -> None:
    response = ask(serve(haystack_component(agent_of(CALL, ANSWER, kind=kind))), stream=True)

    call, result = events_of(response)
    assert call == {
        "type": "status",
        "data": {
            "description": "Calling weather",
            "done": False,
            "tool_call": {"id": "call_a", "name": "weather", "arguments": '{"city": "Rome"}'},
        },
    }
    assert result == {
        "type": "status",
        "data": {
            "description": "Called weather",
            "done": True,
            "tool_result": {"id": "call_a", "name": "weather", "result": "Rain in Rome.", "error": False},
        },
    }
    assert ["event" in chunk for chunk in chunks_of(response)] == [False] * 3 + [True] * 2 + [False] * 3


@EACH_KIND
def test_no_call_of_an_agent_s_is_one_for_the_client(serve: Serve, kind: Kind) -> None:
    response = ask(serve(haystack_component(agent_of(CALL, ANSWER, kind=kind))), stream=True)

    choices = [choice for chunk in chunks_of(response) for choice in chunk["choices"]]
    assert not [choice for choice in choices if "tool_calls" in choice["delta"]]
    assert finish_reason_of(response) == "stop"


@EACH_KIND
def test_parallel_calls_are_events_each(serve: Serve, kind: Kind) -> None:
    response = ask(serve(haystack_component(agent_of(TWO_CALLS, ANSWER, kind=kind))), stream=True)

    data = [event["data"] for event in events_of(response)]
    assert [each["tool_call"]["id"] for each in data if "tool_call" in each] == ["call_a", "call_b"]
    results = {each["tool_result"]["id"]: each["tool_result"]["result"] for each in data if "tool_result" in each}
    assert results == {"call_a": "Rain in Rome.", "call_b": "Rain in Oslo."}
    assert answer_of(response).content == "It rains."


@EACH
@EACH_KIND
def test_an_agent_may_think_in_each_of_its_steps(serve: Serve, kind: Kind, stream: bool) -> None:
    call = says(
        thought("A tool. "), calling(0, '{"city": "Rome"}', id="call_a", name="weather"), finished("tool_calls")
    )
    answer = says(thought("Rain."), "It rains.", finished())

    found = answer_of(ask(serve(haystack_component(agent_of(call, answer, kind=kind))), stream=stream))

    assert (found.reasoning, found.content) == ("A tool. Rain.", "It rains.")


@EACH
@EACH_KIND
def test_an_agent_that_needs_no_tool_just_answers(serve: Serve, kind: Kind, stream: bool) -> None:
    answer = answer_of(ask(serve(haystack_component(agent_of(ANSWER, kind=kind))), stream=stream))

    assert (answer.content, answer.finish_reason) == ("It rains.", "stop")


@EACH
@EACH_KIND
def test_an_agent_without_tools_just_answers(serve: Serve, kind: Kind, stream: bool) -> None:
    agent = Agent(chat_generator=kind(says("Hello", " you", finished())))

    assert answer_of(ask(serve(haystack_component(agent)), stream=stream)).content == "Hello you"


@EACH
def test_an_agent_answers_the_last_question_of_a_conversation(serve: Serve, stream: bool) -> None:
    messages = [
        {"role": "user", "content": "Rome?"},
        {"role": "assistant", "content": "Rain."},
        {"role": "user", "content": "Sure?"},
    ]

    response = ask(serve(haystack_component(agent_of(CALL, ANSWER))), messages=messages, stream=stream)

    assert answer_of(response).content == "Let me look.\n\nIt rains."


@EACH
def test_an_agent_that_is_stopped_at_its_last_step_was_cut_off(serve: Serve, stream: bool) -> None:
    client = serve(haystack_component(agent_of(CALL, CALL, ANSWER, max_agent_steps=2)))

    answer = answer_of(ask(client, stream=stream, **(USAGE if stream else {})))

    assert (answer.content, answer.finish_reason) == ("Let me look.\n\nLet me look.", "length")
    assert answer.usage == usage_of(6, 10)


@EACH
def test_an_agent_whose_answer_is_too_long_was_cut_off(serve: Serve, stream: bool) -> None:
    agent = agent_of(CALL, says("It rai", finished("length")))

    answer = answer_of(ask(serve(haystack_component(agent)), stream=stream))

    assert (answer.content, answer.finish_reason) == ("Let me look.\n\nIt rai", "length")


@EACH
def test_an_agent_goes_on_after_a_tool_that_failed(serve: Serve, stream: bool) -> None:
    client = serve(haystack_component(agent_of(CALL, says("I cannot know."), tool=BROKEN_TOOL)))

    assert answer_of(ask(client, stream=stream)).content == "Let me look.\n\nI cannot know."


def test_an_event_says_that_a_tool_failed(serve: Serve) -> None:
    client = serve(haystack_component(agent_of(CALL, says("I cannot know."), tool=BROKEN_TOOL)))

    result = events_of(ask(client, stream=True))[1]["data"]

    assert (result["description"], result["done"], result["tool_result"]["error"]) == ("weather failed", True, True)


@EACH
def test_the_failure_of_a_tool_may_be_that_of_the_answer(serve: Serve, stream: bool) -> None:
    call = says(calling(0, '{"city": "Rome"}', id="call_a", name="weather"), finished("tool_calls"))
    agent = agent_of(call, ANSWER, tool=BROKEN_TOOL, raise_on_tool_invocation_failure=True)

    response = ask(serve(haystack_component(agent)), stream=stream)

    if stream:  # the call was shown before it failed
        assert chunks_of(response)[-1]["error"]["message"] == SERVER_ERROR
    else:
        assert (response.status_code, error_of(response)["message"]) == (500, SERVER_ERROR)


@EACH
@pytest.mark.parametrize("before", ["", "Let me look."])
def test_a_tool_that_ends_the_agent_has_the_last_word(serve: Serve, stream: bool, before: str) -> None:
    call = says(before, calling(0, '{"city": "Rome"}', id="call_a", name="weather"), finished("tool_calls"))
    client = serve(haystack_component(agent_of(call, exit_conditions=["weather"])))

    answer = answer_of(ask(client, stream=stream))

    assert answer.content == (f"{before}\n\n" if before else "") + "Rain in Rome."
    assert (answer.calls, answer.finish_reason) == ([], "stop")


@EACH
@EACH_KIND
def test_an_agent_is_heard_without_a_warning(
    serve: Serve, caplog: pytest.LogCaptureFixture, kind: Kind, stream: bool
) -> None:
    ask(serve(haystack_component(agent_of(CALL, ANSWER, kind=kind))), stream=stream)

    assert not [record for record in caplog.records if record.levelname != "INFO"]


@EACH
def test_the_parameters_of_a_request_reach_the_generator_of_an_agent(serve: Serve, stream: bool) -> None:
    generator = AsyncGenerator(in_turn(CALL, ANSWER))
    client = serve(haystack_component(Agent(chat_generator=generator, tools=[SYNC_TOOL])))

    ask(client, temperature=0.5, stream=stream)

    assert [asked.generation_kwargs for asked in generator.asked] == [{"temperature": 0.5}] * 2


@EACH
def test_the_tools_of_a_client_are_not_an_agent_s(serve: Serve, stream: bool) -> None:
    generator = AsyncGenerator(in_turn(CALL, ANSWER))
    client = serve(haystack_component(Agent(chat_generator=generator, tools=[SYNC_TOOL])))

    answer = answer_of(ask(client, tools=[CLIENTS_TOOL], tool_choice="required", stream=stream))

    assert answer.content == "Let me look.\n\nIt rains."
    assert [[tool.name for tool in asked.tools or ()] for asked in generator.asked] == [["weather"]] * 2
    assert not [asked for asked in generator.asked if "tool_choice" in (asked.generation_kwargs or {})]


@EACH
@EACH_KIND
def test_an_agent_in_a_pipeline_is_heard(serve: Serve, kind: Kind, stream: bool) -> None:
    pipeline = Pipeline()
    prompt = [ChatMessage.from_user("{{ question }}, please")]
    generator = kind(in_turn(CALL, ANSWER))
    pipeline.add_component("prompt", ChatPromptBuilder(prompt, required_variables="*"))
    pipeline.add_component("agent", Agent(chat_generator=generator, tools=[SYNC_TOOL]))
    pipeline.connect("prompt.prompt", "agent.messages")

    response = ask(serve(haystack_pipeline(pipeline)), "Rome?", stream=stream)

    assert answer_of(response).content == "Let me look.\n\nIt rains."
    assert generator.asked[0].messages[-1].text == "Rome?, please"
    assert not stream or len(events_of(response)) == 2


@EACH
def test_an_agent_with_a_prompt_of_its_own_answers_the_client(serve: Serve, stream: bool) -> None:
    generator = AsyncGenerator(in_turn(CALL, ANSWER))
    agent = Agent(chat_generator=generator, tools=[SYNC_TOOL], system_prompt="You know the weather.")

    assert answer_of(ask(serve(haystack_component(agent)), stream=stream)).content == "Let me look.\n\nIt rains."
    assert [message.text for message in generator.asked[0].messages] == ["You know the weather.", "Hello!"]


@component
class Loading(SyncGenerator):
    """A generator that loads before its first answer, in sync code."""

    threads: list[threading.Thread]

    def warm_up(self) -> None:
        if not hasattr(self, "threads"):
            self.threads = [threading.current_thread()]


@pytest.mark.anyio
@pytest.mark.parametrize("agent", [False, True])
async def test_a_sync_generator_warms_up_in_a_thread_wherever_it_is(agent: bool) -> None:
    generator = Loading(ANSWER)

    await haystack_component(Agent(chat_generator=generator) if agent else generator).start()

    assert len(generator.threads) == 1
    assert generator.threads != [threading.current_thread()]
