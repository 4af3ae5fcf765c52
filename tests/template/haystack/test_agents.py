"""Agents as models: their tools are called in the server, and the client sees the calls as events."""

import asyncio
import json
from typing import Any
from unittest.mock import ANY

import pytest
from haystack import Document, Pipeline
from haystack.components.agents import Agent, State
from haystack.components.agents.state.state_utils import replace_values
from haystack.components.builders import ChatPromptBuilder
from haystack.dataclasses import ChatMessage, StreamingChunk, TextContent, ToolCall, ToolCallResult
from haystack.hooks import hook
from haystack.tools.tool import Tool

from app.haystack.events import RunEvent, report_progress
from app.haystack.model import haystack_component, haystack_pipeline
from schemas.chat import Delta, Json
from tests.conftest import SERVER_ERROR, Serve, ask, chunks_of, error_of
from tests.template.haystack.answers import Answer, answer_from, answer_of, events_of, usage_of
from tests.template.haystack.generators import (
    AsyncGenerator,
    Kind,
    Script,
    SyncGenerator,
    calling,
    each_kind,
    each_mode,
    finished,
    in_turn,
    reasoning,
    says,
)

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NO_PARAMETERS = {"type": "object", "properties": {}}
MANY = 300  # results, more than may wait for a client
CLIENTS_TOOL = {"type": "function", "function": {"name": "theirs", "parameters": SCHEMA}}


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
OTHER_TOOL = Tool(name="time", description="", parameters=NO_PARAMETERS, function=lambda: "Noon.")
PARTS_TOOL = Tool(
    name="weather",
    description="",
    parameters=SCHEMA,
    function=lambda city: [TextContent("Rain in"), TextContent(f"{city}.")],
    outputs_to_string={"raw_result": True},
)

CALL_ALONE = [calling(0, '{"city": "Rome"}', id="call_a", name="weather"), finished("tool_calls")]
CALL = says(
    "Let me ", "look.",
    calling(0, id="call_a", name="weather"), calling(0, '{"city": '), calling(0, '"Rome"}'),
    finished("tool_calls", prompt=3, completion=5),
)  # fmt: skip
ANSWER = says("It ", "rains.", finished(prompt=10, completion=2))
ANSWERED = Answer("Let me look.\n\nIt rains.", usage=usage_of(13, 7))


def agent_of(*scripts: Script, kind: Kind = AsyncGenerator, tool: Tool = SYNC_TOOL, **options: Any) -> Agent:
    return Agent(chat_generator=kind(in_turn(*scripts)), tools=[tool, OTHER_TOOL], **options)


@each_mode
@each_kind
@pytest.mark.parametrize("tool", [SYNC_TOOL, ASYNC_TOOL], ids=["sync tool", "async tool"])
def test_the_answer_of_an_agent_is_the_text_of_all_its_steps(
    serve: Serve, caplog: pytest.LogCaptureFixture, kind: Kind, tool: Tool, stream: bool
) -> None:
    client = serve(haystack_component(agent_of(CALL, ANSWER, kind=kind, tool=tool)))

    assert answer_from(client, stream=stream) == ANSWERED
    assert not [record for record in caplog.records if record.levelname != "INFO"]


@each_kind
@pytest.mark.parametrize("fails", [False, True])
def test_a_stream_shows_a_call_and_its_result_as_events_in_their_place(serve: Serve, kind: Kind, fails: bool) -> None:
    agent = agent_of(CALL, ANSWER, kind=kind, tool=BROKEN_TOOL if fails else SYNC_TOOL)

    response = ask(serve(haystack_component(agent)), stream=True)

    call: Json = {"id": "call_a", "name": "weather", "arguments": '{"city": "Rome"}'}
    result: Json = {"id": "call_a", "name": "weather", "result": ANY if fails else "Rain in Rome.", "error": fails}
    called = "weather failed" if fails else "Called weather"
    assert events_of(response) == [
        {"type": "status", "data": {"description": "Calling weather", "done": False, "tool_call": call}},
        {"type": "status", "data": {"description": called, "done": True, "tool_result": result}},
    ]
    frames = [chunk["choices"][0]["delta"] if chunk["choices"] else "event" for chunk in chunks_of(response)]
    texts = [{"content": text} for text in ("Let me ", "look.", "\n\nIt ", "rains.")]
    role = {"role": "assistant", "content": ""}
    assert frames == [role, *texts[:2], "event", "event", *texts[2:], {}]


@each_kind
def test_parallel_calls_are_an_event_each_however_many(serve: Serve, kind: Kind) -> None:
    cities = {f"call_{number}": f"city {number}" for number in range(MANY)}
    calls = [
        calling(number, json.dumps({"city": city}), id=call_id, name="weather")
        for number, (call_id, city) in enumerate(cities.items())
    ]
    agent = agent_of(says(*calls, finished("tool_calls")), ANSWER, kind=kind)

    response = ask(serve(haystack_component(agent)), stream=True)

    data = [event["data"] for event in events_of(response)]
    assert [each["tool_call"]["id"] for each in data if "tool_call" in each] == [*cities]
    results = {each["tool_result"]["id"]: each["tool_result"]["result"] for each in data if "tool_result" in each}
    assert results == {call_id: f"Rain in {city}." for call_id, city in cities.items()}
    assert answer_of(response).content == "It rains."


BEFORE = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi, Ann.", "reasoning": "A greeting."}]
CUT_OFF = says("It rai", finished("length"))
THOUGHT = says(reasoning("Rain."), "It rains.")
OUT_OF_STEPS = Answer("Let me look.\n\nLet me look.", finish_reason="length", usage=usage_of(6, 10))
FILTERED = says("It", finished("content_filter"))
ENDED_BY_TOOL: Json = {"exit_conditions": ["weather"]}
SEEING = StreamingChunk("Let me see.", index=0, finish_reason="length")  # of this step, not of the answer
OTHER_CALL = calling(1, "{}", id="call_b", name="time")


RUNS: dict[str, tuple[list[Script], Json, Answer]] = {
    "no tool": ([ANSWER], {}, Answer("It rains.", usage=usage_of(10, 2))),
    "reasoning": ([says(reasoning("A tool. "), *CALL_ALONE), THOUGHT], {}, Answer("It rains.", "A tool. Rain.")),
    "out of steps": ([CALL, CALL, ANSWER], {"max_agent_steps": 2}, OUT_OF_STEPS),
    "without text": ([says(*CALL_ALONE)], {"max_agent_steps": 1}, Answer(finish_reason="length")),
    "cut off": ([CALL, CUT_OFF], {}, Answer("Let me look.\n\nIt rai", "", [], "length", usage_of(3, 5))),
    "filtered": ([CALL, FILTERED], {}, Answer("Let me look.\n\nIt", "", [], "content_filter", usage_of(3, 5))),
    "failed tool": ([CALL, ANSWER], {"tool": BROKEN_TOOL}, ANSWERED),
    "ended by a tool": ([says(SEEING, *CALL_ALONE)], ENDED_BY_TOOL, Answer("Let me see.\n\nRain in Rome.")),
    "ended without text": ([says(*CALL_ALONE)], ENDED_BY_TOOL, Answer("Rain in Rome.")),
    "ended before another": ([says(CALL_ALONE[0], OTHER_CALL, CALL_ALONE[1])], ENDED_BY_TOOL, Answer("Rain in Rome.")),
    "ended after another": ([says(OTHER_CALL, *CALL_ALONE)], ENDED_BY_TOOL, Answer("Rain in Rome.")),
    "ended with parts": ([says(*CALL_ALONE)], ENDED_BY_TOOL | {"tool": PARTS_TOOL}, Answer("Rain in\nRome.")),
}


@each_mode
@pytest.mark.parametrize("name", RUNS)
def test_an_agent_answers_however_its_run_ends(serve: Serve, name: str, stream: bool) -> None:
    scripts, options, expected = RUNS[name]
    client = serve(haystack_component(agent_of(*scripts, **options)))

    assert answer_from(client, messages=[*BEFORE, {"role": "user", "content": "Rome?"}], stream=stream) == expected


@each_mode
def test_an_agent_may_be_asked_without_a_user(serve: Serve, stream: bool) -> None:
    client = serve(haystack_component(Agent(chat_generator=SyncGenerator(says("Hello", "!")))))

    answer = answer_from(client, messages=[{"role": "system", "content": "Greet."}], stream=stream)

    assert answer.content == "Hello!"


@each_mode
def test_the_failure_of_a_tool_may_be_that_of_the_answer(serve: Serve, stream: bool) -> None:
    agent = agent_of(says(*CALL_ALONE), ANSWER, tool=BROKEN_TOOL, raise_on_tool_invocation_failure=True)

    response = ask(serve(haystack_component(agent)), stream=stream)

    if stream:  # the call was shown before it failed
        _, call, error = chunks_of(response)
        assert call["event"]["data"]["description"] == "Calling weather"
        assert error["error"]["message"] == SERVER_ERROR
    else:
        assert (response.status_code, error_of(response)["message"]) == (500, SERVER_ERROR)


@each_mode
def test_parameters_reach_the_generator_of_an_agent_and_the_clients_tools_do_not(serve: Serve, stream: bool) -> None:
    generator = AsyncGenerator(in_turn(CALL, ANSWER))
    agent = Agent(chat_generator=generator, tools=[SYNC_TOOL], system_prompt="You know the weather.")
    client = serve(haystack_component(agent))

    answer = answer_from(client, tools=[CLIENTS_TOOL], tool_choice="required", temperature=0.5, stream=stream)

    assert answer == ANSWERED
    assert [[tool.name for tool in asked.tools or ()] for asked in generator.asked] == [["weather"]] * 2
    assert [(asked.generation_kwargs or {}).get("temperature") for asked in generator.asked] == [0.5] * 2
    assert not [asked for asked in generator.asked if "tool_choice" in (asked.generation_kwargs or {})]
    assert [message.text for message in generator.asked[0].messages] == ["You know the weather.", "Hello!"]


@each_mode
@each_kind
def test_an_agent_answers_in_a_pipeline(serve: Serve, kind: Kind, stream: bool) -> None:
    generator = kind(in_turn(CALL, ANSWER))
    pipeline = Pipeline()
    prompt = [ChatMessage.from_user("{{ question }}, please")]
    pipeline.add_component("prompt", ChatPromptBuilder(prompt, required_variables="*"))
    pipeline.add_component("agent", Agent(chat_generator=generator, tools=[SYNC_TOOL]))
    pipeline.connect("prompt.prompt", "agent.messages")

    response = ask(serve(haystack_pipeline(pipeline)), "Rome?", stream=stream)

    assert answer_of(response).content == "Let me look.\n\nIt rains."
    assert generator.asked[0].messages[-1].text == "Rome?, please"
    assert not stream or len(events_of(response)) == 2


@each_kind
def test_an_author_says_what_is_sent_for_the_events_of_a_run(serve: Serve, kind: Kind) -> None:
    """Here: a line for a call, an event for its result, no reasoning, and text at the end."""

    def shown(event: RunEvent) -> object:
        match event:
            case ToolCall():
                return f"Asking for {event.arguments['city']}"
            case ToolCallResult():
                return {"type": "notification", "data": {"content": event.result}}
            case dict():
                return Delta(content=f" ({event['component']['step_count']} steps)")
        return None

    def reporting(city: str) -> str:
        report_progress("Half way")
        report_progress({"type": "progress", "data": {"done": 0.5}})
        return f"Rain in {city}."

    tool = Tool(name="weather", description="", parameters=SCHEMA, function=reporting)
    agent = agent_of(says(reasoning("A tool."), *CALL_ALONE), THOUGHT, kind=kind, tool=tool)
    client = serve(haystack_component(agent, on_event=shown))

    streamed = ask(client, stream=True)

    lines = [{"description": text, "done": False} for text in ("Asking for Rome", "Half way")]
    assert [event["data"] for event in events_of(streamed)] == [*lines, {"done": 0.5}, {"content": "Rain in Rome."}]
    assert answer_of(streamed) == answer_from(client, stream=False) == Answer("It rains. (2 steps)")


def test_progress_outside_of_a_run_is_not_reported() -> None:
    report_progress("Half way")


@each_kind
def test_a_call_that_a_person_refuses_leaves_nothing_open(serve: Serve, kind: Kind) -> None:
    @hook
    def refuse(state: State) -> None:
        call = state.data["messages"][-1].tool_calls[0]
        refused = ChatMessage.from_tool("Refused.", origin=call, error=True)
        state.set("messages", [*state.data["messages"], refused], handler_override=replace_values)

    agent = agent_of(CALL, ANSWER, kind=kind, hooks={"before_tool": [refuse]})
    client = serve(haystack_component(agent))

    response = ask(client, stream=True)

    (data,) = [event["data"] for event in events_of(response)]
    assert (data["description"], data["done"], data["tool_result"]["result"]) == ("weather failed", True, "Refused.")
    assert answer_of(response).content == answer_from(client, stream=False).content == ANSWERED.content


@each_mode
def test_documents_that_no_tool_has_found_are_no_sources(serve: Serve, stream: bool) -> None:
    agent = agent_of(ANSWER, state_schema={"documents": {"type": list[Document]}})
    client = serve(haystack_component(agent, documents="component.documents"))

    response = ask(client, stream=stream)

    assert answer_of(response).content == "It rains."
    assert not stream or events_of(response) == []
