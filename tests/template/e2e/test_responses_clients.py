"""Clients that speak the Responses API unless told otherwise: OpenAI's Agents SDK, and LangChain."""

import os
from typing import Any

import pytest
from pydantic import SecretStr

from tests.template.e2e.clients import async_client_of
from tests.template.e2e.server import Server

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "true"  # before it is imported: it would send traces to OpenAI
pytest.importorskip("agents", reason="the group `clients` is not installed")
pytest.importorskip("langchain_openai", reason="the group `clients` is not installed")

from agents import Agent, OpenAIResponsesModel, Runner, function_tool
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

QUESTION = "What is the weather in Paris?"
ANSWER = "The tool says: Rain in What is the weather in Paris?."


@function_tool  # type: ignore[untyped-decorator]  # mypy does not follow its package
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}."


@tool  # type: ignore[untyped-decorator]  # likewise
def weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}."


def langchain_of(server: Server, model: str, **options: Any) -> ChatOpenAI:
    url = f"{server.url}/v1"
    return ChatOpenAI(
        model=model, base_url=url, api_key=SecretStr("none"), use_responses_api=True, max_retries=0, **options
    )


@pytest.mark.anyio
async def test_an_agent_calls_its_tool_and_answers_in_a_stream(shipped: Server) -> None:
    async with async_client_of(shipped) as client:
        agent = Agent(name="A", model=OpenAIResponsesModel("tools", client), tools=[get_weather])
        run = Runner.run_streamed(agent, QUESTION)
        names = [event.name async for event in run.stream_events() if event.type == "run_item_stream_event"]

    assert run.final_output == ANSWER
    assert names == ["tool_called", "tool_output", "message_output_created"]


@pytest.mark.anyio
async def test_an_agent_goes_on_from_the_previous_response(shipped: Server) -> None:
    async with async_client_of(shipped) as client:
        agent = Agent(name="A", model=OpenAIResponsesModel("tools", client), tools=[get_weather])
        run = await Runner.run(agent, QUESTION, auto_previous_response_id=True)

    assert run.final_output == ANSWER


@pytest.mark.anyio
@pytest.mark.parametrize("model", ["reasoning", "events", "echo-stream"])
async def test_an_agent_reads_whatever_a_model_says(shipped: Server, model: str) -> None:
    async with async_client_of(shipped) as client:
        agent = Agent(name="A", model=OpenAIResponsesModel(model, client))
        run = Runner.run_streamed(agent, "abc")
        events = [event async for event in run.stream_events()]

    assert events
    assert run.final_output == {"reasoning": "You wrote 3 characters.", "events": "cba", "echo-stream": "abc"}[model]


def test_langchain_calls_a_tool_and_reads_the_answer(shipped: Server) -> None:
    bound = langchain_of(shipped, "tools").bind_tools([weather])
    conversation: list[Any] = [HumanMessage(QUESTION)]
    asked = bound.invoke(conversation)
    assert [(call["name"], call["args"]) for call in asked.tool_calls] == [("weather", {"city": QUESTION})]

    conversation += [
        asked,
        ToolMessage(weather.invoke(asked.tool_calls[0]["args"]), tool_call_id=asked.tool_calls[0]["id"]),
    ]

    assert bound.invoke(conversation).text == ANSWER


@pytest.mark.parametrize("model", ["reasoning", "events", "echo-stream"])
def test_langchain_streams_what_it_reads_whole(shipped: Server, model: str) -> None:
    llm = langchain_of(shipped, model)
    streamed: Any = None
    for chunk in llm.stream("abc def"):
        streamed = chunk if streamed is None else streamed + chunk

    assert streamed is not None
    assert streamed.text == llm.invoke("abc def").text != ""


def test_langchain_streams_the_arguments_of_calls(shipped: Server) -> None:
    streamed: Any = None
    for chunk in langchain_of(shipped, "tools").bind_tools([weather]).stream(QUESTION):
        streamed = chunk if streamed is None else streamed + chunk

    assert streamed is not None
    assert [(call["name"], call["args"]) for call in streamed.tool_calls] == [("weather", {"city": QUESTION})]


def test_langchain_goes_on_from_the_previous_response(shipped: Server) -> None:
    llm = langchain_of(shipped, "tools", use_previous_response_id=True).bind_tools([weather])
    asked = llm.invoke(QUESTION)
    call = asked.tool_calls[0]

    answer = llm.invoke([HumanMessage(QUESTION), asked, ToolMessage("Rain.", tool_call_id=call["id"])])

    assert answer.text == "The tool says: Rain."
