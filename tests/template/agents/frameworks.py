"""The same agent in each framework: it knows the weather, and asks an upstream that answers by a script."""

from collections.abc import Callable, Iterator
from typing import Any

import agents as sdk
import pytest
from langchain_core.messages import SystemMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from openai import AsyncOpenAI
from pydantic import SecretStr
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from app.agents.langgraph import langgraph_model
from app.agents.openai_agents import agents_sdk_model
from app.agents.pydantic_ai import pydantic_ai_model
from app.model import Body, Messages, ModelFunction
from schemas.chat import Delta, FunctionCallDelta, Json, ToolCallDelta
from tests.conftest import KEY

PROMPT = "You know the weather."
CONFIGURABLE = ("temperature", "top_p", "max_tokens", "stop", "seed")


def weather(city: str) -> str:
    """Return the weather of a city."""
    if city == "Atlantis":
        raise RuntimeError("No station there")
    return f"Rain in {city}."


def client_of(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0)


def chat_of(url: str) -> Any:
    options: Json = {"max_retries": 0, "stream_usage": True, "stream_chunk_timeout": None}
    return ChatOpenAI(model="test", base_url=url, api_key=SecretStr(KEY), **options)


def with_langgraph(url: str) -> ModelFunction:
    chat = chat_of(url)
    own: Any = tool(weather)

    async def ask(state: MessagesState, config: RunnableConfig) -> Json:
        given = config["configurable"]
        parameters = {name: given[name] for name in CONFIGURABLE if name in given}
        asked = chat.bind_tools([own, *given["tools"]]).bind(**parameters)
        return {"messages": [await asked.ainvoke([SystemMessage(PROMPT), *state["messages"]])]}

    graph = StateGraph(MessagesState)
    graph.add_node("agent", ask)
    graph.add_node("tools", ToolNode([own], handle_tool_errors=True))
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", tools_condition)
    graph.add_edge("tools", "agent")
    return langgraph_model(graph.compile())


def with_pydantic_ai(url: str) -> ModelFunction:
    model = OpenAIChatModel("test", provider=OpenAIProvider(openai_client=client_of(url)))
    return pydantic_ai_model(Agent(model, system_prompt=PROMPT, tools=[weather]))


def with_agents_sdk(url: str) -> ModelFunction:
    model = sdk.OpenAIChatCompletionsModel("test", client_of(url))
    return agents_sdk_model(
        sdk.Agent(name="Weather", instructions=PROMPT, model=model, tools=[sdk.function_tool(weather)])
    )


FRAMEWORKS: dict[str, Callable[[str], ModelFunction]] = {
    "langgraph": with_langgraph,
    "pydantic_ai": with_pydantic_ai,
    "openai_agents": with_agents_sdk,
}
each_framework = pytest.mark.parametrize("framework", FRAMEWORKS)
each_mode = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


class Script:
    """A model that says in each step of an agent what a script has for it, and keeps what it was asked."""

    def __init__(self, *steps: list[object]) -> None:
        self.steps = steps
        self.bodies: list[Body] = []

    def __call__(self, model: str, messages: Messages, body: Body) -> Iterator[object]:
        self.bodies.append(body)
        yield from self.steps[len(self.bodies) - 1]


def calling(name: str, arguments: str, call_id: str, index: int = 0) -> Delta:
    function = FunctionCallDelta(name=name, arguments=arguments)
    return Delta(tool_calls=[ToolCallDelta(index=index, id=call_id, type="function", function=function)])
