"""What is particular to one framework."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("agents", reason="needs the extra `openai-agents`")
pytest.importorskip("langgraph", reason="needs the extra `langgraph`")
pytest.importorskip("pydantic_ai", reason="needs the extra `pydantic-ai`")

import agents as sdk
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel
from pydantic_ai import Agent, DeferredToolRequests, ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel as PydanticTestModel
from pydantic_ai.usage import UsageLimits

from app.agents.langgraph import langgraph_model
from app.agents.openai_agents import agents_sdk_model
from app.agents.pydantic_ai import pydantic_ai_model
from app.registry import Pipelines
from schemas.chat import Json
from tests.conftest import KEY, ROOT, Serve, ask, error_of, live
from tests.template.agents.frameworks import Script, calling, chat_of, client_of, each_mode, weather
from tests.template.agents.test_agents import CONVERSATION, LOOK, MINE, RAINS
from tests.template.e2e.test_readme import blocks_of
from tests.template.haystack.answers import Answer, answer_from, events_of


@each_mode
@pytest.mark.parametrize(
    ("choice", "passed"),
    [
        (None, None),
        ("required", "required"),
        ({"type": "function", "function": {"name": "mine"}}, "mine"),
        ("none", None),
    ],
    ids=str,
)
def test_a_chat_model_of_langchain_gets_the_clients_tools_and_the_parameters(
    serve: Serve, choice: Any, passed: str | None, stream: bool
) -> None:
    script = Script(["Well. ", calling("mine", '{"x":1}', "call_a"), calling("mine", "{}", "call_b", 1)])
    with live(script) as upstream:
        client = serve(langgraph_model(chat_of(str(upstream.base_url))))
        answer = answer_from(client, tools=[MINE], tool_choice=choice, temperature=0.5, max_tokens=7, stream=stream)

    assert script.bodies[0]["temperature"] == 0.5
    if choice == "none":
        assert "tools" not in script.bodies[0]
        return
    assert (answer.content, answer.finish_reason) == ("Well. ", "tool_calls")
    assert answer.calls == [("call_a", "mine", '{"x":1}'), ("call_b", "mine", "{}")]
    given = script.bodies[0].get("tool_choice")
    assert (given["function"]["name"] if isinstance(given, dict) else given) in (passed, "auto")


@each_mode
def test_tools_of_the_client_are_left_out_for_what_cannot_call_them(
    serve: Serve, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    client = serve(langgraph_model(FakeListChatModel(responses=["Hello"])))

    assert answer_from(client, tools=[MINE], stream=stream).content == "Hello"
    assert "FakeListChatModel cannot call tools" in caplog.text


CHAINS: dict[str, tuple[Any, Any, str]] = {
    "text": (
        ChatPromptTemplate.from_template("{question}") | FakeListChatModel(responses=["Hello"]) | StrOutputParser(),
        lambda messages, body: {"question": messages[-1].text},
        "Hello",
    ),
    "object": (RunnableLambda(lambda messages: {"asked": messages[-1].text}), None, '{"asked":"Hello!"}'),
}


@each_mode
@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_answers_with_text_or_json(serve: Serve, name: str, stream: bool) -> None:
    chain, inputs, expected = CHAINS[name]
    assert answer_from(serve(langgraph_model(chain, inputs=inputs)), stream=stream).content == expected


def graph_of(node: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    return graph.compile()


@each_mode
def test_a_graph_may_answer_with_a_whole_message_and_with_reasoning(serve: Serve, stream: bool) -> None:
    content: Any = [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "It rains."}]
    usage: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5, "input_token_details": {"cache_read": 1}}

    async def node(state: MessagesState) -> Json:
        return {"messages": [AIMessage(content, usage_metadata=usage, response_metadata={"finish_reason": "length"})]}

    answer = answer_from(serve(langgraph_model(graph_of(node))), stream=stream)

    assert (answer.reasoning, answer.content, answer.finish_reason) == ("Hm.", "It rains.", "length")
    assert (answer.usage["total_tokens"], answer.usage["prompt_tokens_details"]) == (5, {"cached_tokens": 1})


def test_a_graph_gets_the_options_of_a_request_and_its_parameters(serve: Serve) -> None:
    async def node(state: MessagesState, config: RunnableConfig) -> Json:
        given = config["configurable"]
        return {"messages": [AIMessage(f"{given['user']} {given['temperature']} {given['tools']}")]}

    def options(body: Json) -> Json:
        return {"config": {"configurable": {"user": body["user"]}}}

    client = serve(langgraph_model(graph_of(node), options=options))
    assert answer_from(client, user="ann", temperature=0.5, stream=False).content == "ann 0.5 []"


@each_mode
def test_a_graph_that_goes_in_circles_ends_as_one_that_is_cut_off(serve: Serve, stream: bool) -> None:
    async def node(state: MessagesState) -> Json:
        return {"messages": [AIMessage("Again. ")]}

    graph = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", "node")
    client = serve(langgraph_model(graph.compile(), options=lambda body: {"config": {"recursion_limit": 2}}))

    assert answer_from(client, stream=stream) == Answer("Again. Again. ", finish_reason="length")


class Place(BaseModel):
    city: str


def validated() -> Agent[None, Any]:
    agent = Agent(PydanticTestModel(call_tools=["mine"]), output_type=[str, DeferredToolRequests])
    agent.output_validator(lambda output: output)
    return agent


@each_mode
def test_an_agent_of_pydantic_ai_sends_an_object_as_json(serve: Serve, stream: bool) -> None:
    client = serve(pydantic_ai_model(Agent("test", output_type=Place)))
    assert answer_from(client, stream=stream).content == '{"city":"a"}'


@each_mode
def test_an_agent_of_pydantic_ai_that_checks_its_output_can_hand_tools_back(serve: Serve, stream: bool) -> None:
    answer = answer_from(serve(pydantic_ai_model(validated())), tools=[MINE], stream=stream)
    assert ([name for _, name, _ in answer.calls], answer.finish_reason) == (["mine"], "tool_calls")


@each_mode
def test_an_agent_of_pydantic_ai_that_is_out_of_steps_was_cut_off(serve: Serve, stream: bool) -> None:
    limits = {"usage_limits": UsageLimits(request_limit=1)}
    client = serve(pydantic_ai_model(Agent("test", tools=[weather]), options=lambda body: limits))
    assert answer_from(client, stream=stream).finish_reason == "length"


def test_an_agent_of_pydantic_ai_gets_its_options(serve: Serve) -> None:
    seen: list[str | None] = []

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        seen.append(info.instructions)
        yield "Hello"

    agent = Agent[Any, str](FunctionModel(stream_function=answer), deps_type=str)
    agent.instructions(lambda context: f"Greet {context.deps}.")
    client = serve(pydantic_ai_model(agent, options=lambda body: {"deps": body["user"]}))

    assert answer_from(client, user="ann", stream=False).content == "Hello"
    assert seen == ["Greet ann."]


def test_a_tool_of_pydantic_ai_that_needs_an_approval_is_an_error(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent("test", output_type=[str, DeferredToolRequests])
    agent.tool_plain(requires_approval=True)(weather)

    assert ask(serve(pydantic_ai_model(agent))).status_code == 500
    assert "weather needs an approval" in caplog.text


def sdk_agent(url: str, **options: Any) -> Any:
    model = sdk.OpenAIChatCompletionsModel("test", client_of(url))
    return sdk.Agent(**{"name": "Weather", "model": model, "tools": [sdk.function_tool(weather)], **options})


@each_mode
def test_an_agent_of_the_sdk_may_answer_with_the_output_of_a_tool(serve: Serve, stream: bool) -> None:
    with live(Script(LOOK)) as upstream:
        agent = sdk_agent(str(upstream.base_url), tool_use_behavior="stop_on_first_tool")
        answer = answer_from(serve(agents_sdk_model(agent)), stream=stream)
    assert answer.content == "Let me look.\n\nRain in Rome."


@each_mode
def test_an_agent_of_the_sdk_that_is_out_of_turns_was_cut_off(serve: Serve, stream: bool) -> None:
    with live(Script(LOOK)) as upstream:
        model = agents_sdk_model(sdk_agent(str(upstream.base_url)), options=lambda body: {"max_turns": 1})
        answer = answer_from(serve(model), stream=stream)
    assert (answer.content, answer.finish_reason) == ("Let me look.", "length")


def test_an_agent_of_the_sdk_shows_that_it_hands_off(serve: Serve) -> None:
    with live(Script([calling("transfer_to_other", "{}", "call_a")], RAINS)) as upstream:
        url = str(upstream.base_url)
        agent = sdk_agent(url, handoffs=[sdk_agent(url, name="other")])
        response = ask(serve(agents_sdk_model(agent)), stream=True)

    described = [event["data"]["description"] for event in events_of(response)]
    assert described == ["Calling transfer_to_other", "Called transfer_to_other"]


@each_mode
def test_a_guardrail_of_the_sdk_refuses_the_request(serve: Serve, stream: bool) -> None:
    def refuse(context: Any, agent: Any, given: Any) -> Any:
        return sdk.GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    with live(Script(RAINS)) as upstream:
        agent = sdk_agent(str(upstream.base_url), input_guardrails=[sdk.InputGuardrail(refuse, run_in_parallel=False)])
        response = ask(serve(agents_sdk_model(agent)), stream=stream)
    assert (response.status_code, error_of(response)["code"]) == (400, "content_filter")


@each_mode
def test_an_agent_of_the_sdk_that_asks_the_responses_api_answers_as_the_page_shows_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    (block,) = [block for block in blocks_of(ROOT / "docs" / "agents.md") if "sdk" in block.models]
    models = Pipelines()
    space: Json = {"models": models}
    exec(block.text.replace("from app.pipelines import pipelines", "pipelines = models"), space)  # noqa: S102 - ours
    cut_off: Json = {"choices": [{"index": 0, "delta": {"content": "It rai"}, "finish_reason": "length"}]}
    script = Script(LOOK, RAINS, [cut_off])
    with live(script) as upstream:
        monkeypatch.setenv("OPENAI_BASE_URL", str(upstream.base_url))
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_DEFAULT_MODEL", "test")
        client = serve(models)
        answer = answer_from(client, model="sdk", messages=CONVERSATION, stream=stream)
        other = answer_from(client, model="sdk", stream=stream)

    assert (answer.content, answer.usage["total_tokens"]) == ("Let me look.\n\nIt rains.", 20)
    assert script.bodies[0]["messages"][-2]["content"] == "It snows."
    assert (other.content, other.finish_reason) == ("It rai", "length")
