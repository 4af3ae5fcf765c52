"""The reply at the end of a run, in whatever form a component gives it."""

from typing import Annotated, Any

import pytest
from haystack import Document
from haystack.components.agents import Agent
from haystack.components.builders import AnswerBuilder
from haystack.components.generators.chat import MockChatGenerator
from haystack.dataclasses import ChatMessage, ExtractedAnswer, GeneratedAnswer, TextContent, ToolCall
from haystack.tools import tool
from haystack.tools.tool import Tool

from app.haystack.discovery import message_of, reply_of
from tests.conftest import Serve, ask, returning
from tests.template.conftest import finish_reason_of

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
HELLO = ChatMessage.from_assistant("Hello!")
QUESTION = ChatMessage.from_user("What is the weather in Paris?")


@tool
def weather(city: Annotated[str, "Where"]) -> str:
    """Knows the weather."""
    return f"Sunny in {city}"


@tool
def finish(answer: Annotated[str, "What to say"]) -> str:
    """Ends the conversation."""
    return f"The answer is: {answer}"


@tool
def fail() -> str:
    """Never works."""
    raise ValueError("It rained in.")


def says(text: str | None = None, *calls: ToolCall, finish_reason: str = "stop") -> ChatMessage:
    meta = {"finish_reason": "tool_calls" if calls else finish_reason, "usage": USAGE}
    return ChatMessage.from_assistant(text, tool_calls=list(calls), meta=meta)


def asks(name: str = "weather", **arguments: str) -> ToolCall:
    return ToolCall(name, arguments, id=f"call_{name}")


def outputs_of(*replies: ChatMessage, messages: tuple[ChatMessage, ...] = (QUESTION,), **settings: Any) -> Any:
    """What an agent that says these things, one at a step, ends with."""
    tools: list[Tool] = settings.pop("tools", [weather, finish, fail])
    agent = Agent(chat_generator=MockChatGenerator(responses=list(replies)), tools=tools, **settings)
    return agent.run(messages=list(messages))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (HELLO, HELLO),
        ([HELLO], HELLO),
        ([HELLO, ChatMessage.from_assistant("Another.")], HELLO),
        ([], ChatMessage.from_assistant("")),
        ("Hello!", HELLO),
        ("", ChatMessage.from_assistant("")),
        (["Hello!", "Another."], HELLO),
        (GeneratedAnswer("Hello!", query="Hi", documents=[]), HELLO),
        ([GeneratedAnswer("Hello!", query="Hi", documents=[Document(content="a")])], HELLO),
        (ExtractedAnswer(query="Hi", score=1.0, data="Hello!"), HELLO),
    ],
)
def test_a_message_is_made_of_whatever_says_something(value: object, expected: ChatMessage) -> None:
    assert message_of(value) == expected


def test_a_message_is_kept_with_all_its_parts() -> None:
    message = ChatMessage.from_assistant("Hm.", tool_calls=[asks()], reasoning="Well.", meta={"usage": USAGE})

    assert message_of([message]) is message


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "NoneType"),
        (5, "int"),
        (b"Hello!", "bytes"),
        ({"text": "Hello!"}, "dict"),
        (Document(content="Hello!"), "Document"),
        ([Document(content="Hello!")], "Document"),
        (ExtractedAnswer(query="Hi", score=0.0), "ExtractedAnswer"),
    ],
)
def test_what_says_nothing_is_named(value: object, name: str) -> None:
    with pytest.raises(TypeError) as raised:
        message_of(value)

    assert str(raised.value) == f"The output of the pipeline is {name}, neither a ChatMessage nor text."


@pytest.mark.parametrize(
    "outputs",
    [
        {"replies": [HELLO]},
        {"replies": ["Hello!"], "meta": [{}]},
        {"last_message": HELLO},
        {"answers": [GeneratedAnswer("Hello!", query="Hi", documents=[])]},
        {"documents": [], "replies": [HELLO]},
        {"text": "Hello!"},
    ],
)
def test_the_reply_is_found_by_its_name_or_as_the_one_output(outputs: dict[str, Any]) -> None:
    assert reply_of(outputs) == HELLO


@pytest.mark.parametrize("outputs", [{"replies": []}, {"answers": []}, {"text": ""}])
def test_no_reply_is_an_empty_one(outputs: dict[str, Any]) -> None:
    assert reply_of(outputs).text == ""


@pytest.mark.parametrize("outputs", [{"documents": [Document(content="a")]}, {"a": "Hello!", "b": "Hello!"}])
def test_outputs_without_a_reply_are_an_error(outputs: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        reply_of(outputs)


def test_an_answer_builders_answer_ends_as_the_generators_reply_did(serve: Serve) -> None:
    outputs = AnswerBuilder().run(query="Hi", replies=[says("Hello, I am", finish_reason="length")])

    response = ask(serve(returning(reply_of(outputs))))

    assert response.json()["choices"][0]["message"]["content"] == "Hello, I am"
    assert finish_reason_of(response) == "length"
    assert response.json()["usage"] == USAGE


def test_an_agent_that_calls_no_tool_says_what_its_generator_does() -> None:
    reply = reply_of(outputs_of(says("Hello!")))

    assert (reply.text, reply.tool_calls) == ("Hello!", [])
    assert reply.meta == {"finish_reason": "stop", "usage": USAGE}


def test_an_agent_says_what_it_said_in_all_its_steps() -> None:
    steps = [says("Let me see.", asks(city="Paris")), says(None, asks(city="Rome")), says("It is sunny.")]

    reply = reply_of(outputs_of(*steps))

    assert reply.text == "Let me see.\n\nIt is sunny."
    assert reply.tool_calls == []
    assert reply.meta["finish_reason"] == "stop"


def test_an_agents_usage_is_that_of_all_its_steps() -> None:
    reply = reply_of(outputs_of(says(None, asks(city="Paris")), says("It is sunny.")))

    assert reply.meta["usage"] == {"prompt_tokens": 6, "completion_tokens": 8, "total_tokens": 14}


def test_an_agents_reasoning_is_that_of_all_its_steps() -> None:
    thinking = ChatMessage.from_assistant(tool_calls=[asks(city="Paris")], reasoning="I need the weather. ")
    thought = ChatMessage.from_assistant("It is sunny.", reasoning="Now I know.")

    reply = reply_of(outputs_of(thinking, thought))

    assert reply.reasoning is not None
    assert reply.reasoning.reasoning_text == "I need the weather. Now I know."


def test_an_agent_does_not_repeat_the_conversation_before_the_question() -> None:
    history = (ChatMessage.from_user("Hi"), ChatMessage.from_assistant("Hi, Ann.", reasoning="A greeting."), QUESTION)

    reply = reply_of(outputs_of(says("It is sunny."), messages=history, system_prompt="Be brief."))

    assert (reply.text, reply.reasoning) == ("It is sunny.", None)


def test_an_agent_that_is_asked_without_a_user_says_what_it_said() -> None:
    reply = reply_of(outputs_of(says("Hello!"), messages=(ChatMessage.from_system("Greet."),)))

    assert reply.text == "Hello!"


def test_an_agent_that_a_tool_ends_says_what_the_tool_did() -> None:
    steps = [says("Let me see.", asks(city="Paris")), says(None, asks("finish", answer="sunny"))]

    reply = reply_of(outputs_of(*steps, exit_conditions=["finish"]))

    assert reply.text == "Let me see.\n\nThe answer is: sunny"
    assert reply.tool_calls == []
    assert reply.meta["finish_reason"] is None


@pytest.mark.parametrize("last", ["weather", "finish"])
def test_an_agent_says_what_the_tool_did_that_ended_it_and_not_one_called_beside_it(last: str) -> None:
    calls = sorted([asks(city="Paris"), asks("finish", answer="sunny")], key=lambda call: call.tool_name == last)

    reply = reply_of(outputs_of(says(None, *calls), exit_conditions=["finish"]))

    assert reply.text == "The answer is: sunny"


def test_an_agent_that_a_tool_ends_with_parts_of_text_says_them() -> None:
    parts = Tool(
        name="finish",
        description="Ends the conversation.",
        parameters={"type": "object", "properties": {}},
        function=lambda: [TextContent("It is sunny."), TextContent("21 °C.")],
        outputs_to_string={"raw_result": True},
    )

    reply = reply_of(outputs_of(says(None, asks("finish")), tools=[parts], exit_conditions=["finish"]))

    assert reply.text == "It is sunny.\n21 °C."


def test_an_agent_goes_on_after_a_tool_that_failed() -> None:
    reply = reply_of(outputs_of(says("Let me see.", asks("fail")), says("I do not know.")))

    assert reply.text == "Let me see.\n\nI do not know."


@pytest.mark.parametrize(("said", "expected"), [("Let me see.", "Let me see."), (None, "")])
def test_an_agent_that_runs_out_of_steps_ends_by_length(serve: Serve, said: str | None, expected: str) -> None:
    outputs = outputs_of(says(said, asks(city="Paris")), max_agent_steps=1)

    reply = reply_of(outputs)

    assert (reply.text, reply.tool_calls, reply.meta["finish_reason"]) == (expected, [], "length")
    assert finish_reason_of(ask(serve(returning(reply)))) == "length"


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_agent_whose_generator_was_cut_off_ends_as_that_did(reason: str) -> None:
    reply = reply_of(outputs_of(says("It is", finish_reason=reason)))

    assert (reply.text, reply.meta["finish_reason"]) == ("It is", reason)


def test_an_agent_without_usage_reports_none() -> None:
    outputs = outputs_of(says("Hello!")) | {"token_usage": {}}

    assert reply_of(outputs).meta["usage"] is None
