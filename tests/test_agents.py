"""Pack `agents`: agents of LangGraph, pydantic-ai and OpenAI's Agents SDK as models."""

import pytest

from tests.conftest import Serve, ask, chunks_of, live, message_of, streamed_text, yielding


def test_a_chat_model_of_langchain_answers(serve: Serve) -> None:
    pytest.importorskip("langgraph", reason="needs the extra `langgraph`")
    from langchain_core.language_models import FakeListChatModel

    from app.agents.langgraph import langgraph_model

    client = serve(langgraph_model(FakeListChatModel(responses=["It rains."])))
    assert message_of(ask(client))["content"] == streamed_text(ask(client, stream=True)) == "It rains."


def test_an_agent_of_pydantic_ai_answers_and_shows_its_tools(serve: Serve) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai", reason="needs the extra `pydantic-ai`")
    from app.agents.pydantic_ai import pydantic_ai_model

    client = serve(pydantic_ai_model(pydantic_ai.Agent("test", tools=[lambda: "Rain."])))
    chunks = chunks_of(ask(client, stream=True))
    assert message_of(ask(client))["content"] == '{"<lambda>":"Rain."}'
    assert [chunk["event"]["data"]["done"] for chunk in chunks if "event" in chunk] == [False, True]


def test_an_agent_of_the_agents_sdk_answers(serve: Serve) -> None:
    agents = pytest.importorskip("agents", reason="needs the extra `openai-agents`")
    from openai import AsyncOpenAI

    from app.agents.openai_agents import agents_sdk_model

    with live(yielding("It ", "rains.")) as upstream:
        asked = AsyncOpenAI(base_url=str(upstream.base_url), api_key="none")
        agent = agents.Agent(name="Weather", model=agents.OpenAIChatCompletionsModel("test", asked))
        assert message_of(ask(serve(agents_sdk_model(agent))))["content"] == "It rains."
