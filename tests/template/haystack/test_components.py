"""Chat generators as models: all that one gives reaches the client, whole and as a stream."""

import threading
from typing import Any

import pytest
from haystack import Document, component
from haystack.components.agents import Agent
from haystack.components.generators.chat import FallbackChatGenerator
from haystack.dataclasses import ChatMessage, ExtractedAnswer, GeneratedAnswer, ToolCall
from litestar.testing import TestClient
from msgspec.structs import replace

from app.app import create_app
from app.haystack.model import HaystackModel, haystack_component
from app.registry import Pipelines
from app.settings import Settings
from schemas.chat import Json
from tests.conftest import SERVER_ERROR, Serve, ask, error_of
from tests.template.conftest import deltas_of
from tests.template.haystack.answers import Answer, answer_from, usage_of
from tests.template.haystack.generators import (
    Kind,
    Script,
    SyncGenerator,
    calling,
    each_kind,
    each_mode,
    finished,
    reasoning,
    says,
)

ALL_PARTS = says(
    reasoning("Hm, "), reasoning("well."), "Two", " calls.",
    calling(1, id="call_a", name="weather"), calling(2, id="call_b", name="time"),  # it counts the text as number 0
    calling(1, '{"city": '), calling(2, "{}"), calling(1, '"Rome"}'),
    finished("tool_calls", prompt=3, completion=5),
)  # fmt: skip
CALLS = [("call_a", "weather", '{"city": "Rome"}'), ("call_b", "time", "{}")]
TWO_CALLS = [calling(0, id="call_a", name="time"), calling(1, id="call_b", name="time")]
SCRIPTS: dict[str, tuple[Script, Answer]] = {
    "text": (says("Hello", ", ", "you!", finished()), Answer("Hello, you!")),
    "no finish reason": (says("Hello"), Answer("Hello")),
    "cut off": (says("Hello", finished("length")), Answer("Hello", finish_reason="length")),
    "filtered": (says("H", finished("content_filter")), Answer("H", finish_reason="content_filter")),
    "reasoning": (says(reasoning("Hm, "), reasoning("well."), "Yes."), Answer("Yes.", "Hm, well.")),
    "reasoning alone": (says(reasoning("Hm."), finished("length")), Answer("", "Hm.", finish_reason="length")),
    "usage": (says("Hello", finished(prompt=3, completion=1)), Answer("Hello", usage=usage_of(3, 1))),
    "nothing": (says(finished()), Answer()),
    "calls without arguments": (
        says(*TWO_CALLS, finished("tool_calls")),
        Answer(calls=[("call_a", "time", ""), ("call_b", "time", "")], finish_reason="tool_calls"),
    ),
    "all parts": (ALL_PARTS, Answer("Two calls.", "Hm, well.", CALLS, "tool_calls", usage_of(3, 5))),
}


@each_kind
@pytest.mark.parametrize("name", SCRIPTS)
def test_an_answer_is_the_same_whole_and_streamed(serve: Serve, kind: Kind, name: str) -> None:
    script, expected = SCRIPTS[name]
    client = serve(haystack_component(kind(script)))

    assert answer_from(client, stream=True) == expected
    compact = [(call_id, name, (arguments or "{}").replace(" ", "")) for call_id, name, arguments in expected.calls]
    assert answer_from(client, stream=False) == replace(expected, calls=compact)


@each_kind
def test_each_chunk_of_a_generator_is_one_of_the_stream(serve: Serve, kind: Kind) -> None:
    *parts, first, second, third, fourth, fifth = deltas_of(
        ask(serve(haystack_component(kind(ALL_PARTS))), stream=True)
    )

    thoughts = [{"reasoning_content": "Hm, "}, {"reasoning_content": "well."}]
    assert parts == [*thoughts, {"content": "Two"}, {"content": " calls."}]
    calls = [delta["tool_calls"][0] for delta in (first, second, third, fourth, fifth)]
    assert [call["index"] for call in calls] == [0, 1, 0, 1, 0]
    assert [call.get("id") for call in calls] == ["call_a", "call_b", None, None, None]


@component
class Replying:
    """A component that takes the messages alone, does not stream, and returns these outputs."""

    def __init__(self, **outputs: object) -> None:
        self._outputs = outputs
        component.set_output_types(self, **dict.fromkeys(outputs, Any))

    def run(self, messages: list[ChatMessage]) -> dict[str, Any]:
        return self._outputs


HELLO = ChatMessage.from_assistant("Hello!", meta={"finish_reason": "length", "usage": usage_of(1, 2)})
HELLO_ANSWER = Answer("Hello!", finish_reason="length", usage=usage_of(1, 2))
PARTS = ChatMessage.from_assistant("Hm.", tool_calls=[ToolCall("time", {}, id="call_a")], reasoning="Well.")
TOOL: Json = {"type": "function", "function": {"name": "weather"}}
GENERATED = GeneratedAnswer("Hello!", query="Hi", documents=[Document(content="a")], meta=HELLO.meta)


@each_mode
@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"replies": [HELLO]}, HELLO_ANSWER),
        ({"replies": [HELLO, ChatMessage.from_assistant("Another.")]}, HELLO_ANSWER),
        ({"replies": ["Hello!", "Another."]}, Answer("Hello!")),
        ({"replies": []}, Answer()),
        ({"replies": ""}, Answer()),
        ({"replies": [PARTS]}, Answer("Hm.", "Well.", [("call_a", "time", "{}")], "tool_calls")),
        ({"last_message": HELLO}, HELLO_ANSWER),
        ({"answers": [GENERATED]}, HELLO_ANSWER),
        ({"answers": [ExtractedAnswer(query="Hi", score=1.0, data="Hello!")]}, Answer("Hello!")),
        ({"answers": []}, Answer()),
    ],
)
def test_a_reply_may_be_a_message_an_answer_or_text(
    serve: Serve, outputs: Json, expected: Answer, stream: bool
) -> None:
    client = serve(haystack_component(Replying(**outputs)))

    assert answer_from(client, temperature=1, tools=[TOOL], stream=stream) == expected


@each_mode
@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (5, "int"),
        ([b"Hello!"], "bytes"),
        ({"text": "Hello!"}, "dict"),
        ([Document(content="Hello!")], "Document"),
        (ExtractedAnswer(query="Hi", score=0.0), "ExtractedAnswer"),
    ],
)
def test_a_reply_of_another_type_is_a_500_whose_log_names_the_type(
    serve: Serve, caplog: pytest.LogCaptureFixture, value: object, type_name: str, stream: bool
) -> None:
    response = ask(serve(haystack_component(Replying(replies=value))), stream=stream)

    assert (response.status_code, error_of(response)["message"]) == (500, SERVER_ERROR)
    assert f"The output of the pipeline is {type_name}, neither a ChatMessage nor text." in caplog.text


@component
class Loading(SyncGenerator):
    """A generator that loads in sync code and is closed at the end."""

    def __init__(self) -> None:
        SyncGenerator.__init__(self, says("Hello"))  # Haystack replaces the class that `super()` would find
        self.warmed_up: list[threading.Thread] = []
        self.closed = 0

    def warm_up(self) -> None:
        if not self.warmed_up:
            self.warmed_up.append(threading.current_thread())

    async def close_async(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    "within",
    [lambda part: part, lambda part: Agent(chat_generator=part), lambda part: FallbackChatGenerator([part])],
    ids=["alone", "in an agent", "in a fallback"],
)
def test_a_generator_warms_up_in_a_thread_before_its_first_answer_and_closes_with_the_application(within: Any) -> None:
    generator, models, loops = Loading(), Pipelines(), list[threading.Thread]()

    @models.factory("test")
    async def make() -> HaystackModel:
        loops.append(threading.current_thread())
        return haystack_component(within(generator))

    with TestClient(create_app(settings=Settings(), pipelines=models)) as client:
        assert [answer_from(client, stream=stream).content for stream in (False, True)] == ["Hello", "Hello"]
        assert (len(generator.warmed_up), generator.closed) == (1, 0)
        assert generator.warmed_up != loops

    assert generator.closed == 1
