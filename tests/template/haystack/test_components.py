"""Chat generators as models: whatever one says arrives, and whatever the request says reaches it."""

from typing import Any, TypeAlias

import pytest
from haystack import component
from haystack.components.generators.chat import FallbackChatGenerator, MockChatGenerator
from haystack.dataclasses import ChatMessage, ImageContent

from app.haystack.model import haystack_component
from schemas.chat import Json
from tests.conftest import Serve, ask, chunks_of, error_of, message_of
from tests.template.conftest import deltas_of, finish_reason_of
from tests.template.haystack.answers import Answer, answer_of
from tests.template.haystack.generators import (
    AsyncGenerator,
    Script,
    SyncGenerator,
    calling,
    echo,
    finished,
    says,
    thought,
    usage_of,
)

Kind: TypeAlias = type[AsyncGenerator] | type[SyncGenerator]

each_kind = pytest.mark.parametrize("kind", [AsyncGenerator, SyncGenerator])

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
FULL_SCRIPT = says(
    thought("Hm, "), thought("well."), "Two", " calls.",
    calling(0, id="call_a", name="weather"), calling(1, id="call_b", name="time"),
    calling(0, '{"city": '), calling(1, "{}"), calling(0, '"Rome"}'),
    finished("tool_calls", prompt=3, completion=5),
)  # fmt: skip
CALLS = [("call_a", "weather", '{"city": "Rome"}'), ("call_b", "time", "{}")]
SCRIPTS: dict[str, tuple[Script, Answer]] = {
    "text": (says("Hello", ", ", "you!", finished()), Answer("Hello, you!", "", [], "stop", None)),
    "text without a finish": (says("Hello"), Answer("Hello", "", [], "stop", None)),
    "cut off": (says("Hello", finished("length")), Answer("Hello", "", [], "length", None)),
    "filtered": (says("H", finished("content_filter")), Answer("H", "", [], "content_filter", None)),
    "reasoning": (
        says(thought("Hm, "), thought("well."), "Yes.", finished()),
        Answer("Yes.", "Hm, well.", [], "stop", None),
    ),
    "reasoning alone": (says(thought("Hm."), finished("length")), Answer("", "Hm.", [], "length", None)),
    "usage": (says("Hello", finished(prompt=3, completion=1)), Answer("Hello", "", [], "stop", usage_of(3, 1))),
    "nothing": (says(finished()), Answer("", "", [], "stop", None)),
    "calls of no arguments": (
        says(calling(0, id="call_a", name="time"), calling(1, id="call_b", name="time"), finished("tool_calls")),
        Answer("", "", [("call_a", "time", ""), ("call_b", "time", "")], "tool_calls", None),
    ),
    "all at once": (
        FULL_SCRIPT,
        Answer("Two calls.", "Hm, well.", CALLS, "tool_calls", usage_of(3, 5)),
    ),
}  # fmt: skip
USAGE = {"stream_options": {"include_usage": True}}


@each_kind
@pytest.mark.parametrize("name", SCRIPTS)
def test_an_answer_is_the_same_whole_and_streamed(serve: Serve, kind: Kind, name: str) -> None:
    script, expected = SCRIPTS[name]
    client = serve(haystack_component(kind(script)))

    whole, streamed = answer_of(ask(client)), answer_of(ask(client, stream=True, **USAGE))

    assert streamed == expected
    assert _compact(whole) == _compact(expected)


@each_kind
def test_text_comes_chunk_by_chunk(serve: Serve, kind: Kind) -> None:
    client = serve(haystack_component(kind(says("Hello", ", ", "you!", finished()))))

    assert deltas_of(ask(client, stream=True)) == [{"content": "Hello"}, {"content": ", "}, {"content": "you!"}]


@each_kind
def test_reasoning_comes_chunk_by_chunk_before_the_text(serve: Serve, kind: Kind) -> None:
    client = serve(haystack_component(kind(says(thought("Hm, "), thought("well."), "Yes."))))

    thoughts = [{"reasoning_content": "Hm, "}, {"reasoning_content": "well."}]
    assert deltas_of(ask(client, stream=True)) == [*thoughts, {"content": "Yes."}]


@each_kind
def test_parallel_calls_come_interleaved_as_they_are_made(serve: Serve, kind: Kind) -> None:
    client = serve(haystack_component(kind(FULL_SCRIPT)))

    calls = [delta["tool_calls"][0] for delta in deltas_of(ask(client, stream=True)) if "tool_calls" in delta]
    assert [call["index"] for call in calls] == [0, 1, 0, 1, 0]
    assert [call.get("id") for call in calls] == ["call_a", "call_b", None, None, None]


@each_kind
def test_no_usage_is_streamed_unless_it_is_asked_for(serve: Serve, kind: Kind) -> None:
    client = serve(haystack_component(kind(says("Hello", finished(prompt=3, completion=1)))))

    assert not [chunk for chunk in chunks_of(ask(client, stream=True)) if "usage" in chunk]


@each_kind
def test_the_parameters_of_a_request_reach_the_generator(serve: Serve, kind: Kind) -> None:
    generator = kind(says("Hello"))
    wanted: Json = {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "max_completion_tokens": 8,
        "stop": ["\n"],
        "seed": 42,
        "response_format": {"type": "json_object"},
        "user": "me",
    }

    ask(serve(haystack_component(generator)), **wanted, unknown=1, frequency_penalty=None)

    assert generator.asked[0].generation_kwargs == wanted
    assert not generator.asked[0].tools


@each_kind
def test_a_request_that_asks_for_nothing_leaves_the_generator_its_own(serve: Serve, kind: Kind) -> None:
    generator = kind(says("Hello"))

    ask(serve(haystack_component(generator)))

    assert not generator.asked[0].generation_kwargs


@each_kind
def test_the_tools_of_the_client_reach_the_generator_with_what_the_client_says_of_them(
    serve: Serve, kind: Kind
) -> None:
    generator = kind(says("Hello"))

    ask(serve(haystack_component(generator)), tools=[TOOL], tool_choice="required", parallel_tool_calls=False)

    (asked,) = generator.asked
    assert [(tool.name, tool.parameters) for tool in asked.tools or ()] == [("weather", TOOL["function"]["parameters"])]  # type: ignore[index]  # a dict of its own making
    assert asked.generation_kwargs == {"tool_choice": "required", "parallel_tool_calls": False}


@each_kind
def test_without_tools_nothing_is_said_of_them(serve: Serve, kind: Kind) -> None:
    generator = kind(says("Hello"))

    ask(serve(haystack_component(generator)), tools=[], tool_choice="auto", parallel_tool_calls=True, seed=1)

    assert generator.asked[0].generation_kwargs == {"seed": 1}


@each_kind
def test_other_parameters_may_be_passed_than_openai_s(serve: Serve, kind: Kind) -> None:
    generator = kind(says("Hello"))
    model = haystack_component(generator, parameters=lambda body: {"generation_kwargs": {"top_k": body["top_k"]}})

    ask(serve(model), top_k=5, temperature=1)

    assert generator.asked[0].generation_kwargs == {"top_k": 5}


@each_kind
def test_more_may_be_given_to_a_generator_than_the_messages(serve: Serve, kind: Kind) -> None:
    generator = kind(echo)
    system = ChatMessage.from_system("Be brief.")
    model = haystack_component(generator, inputs=lambda messages, body: {"messages": [system, *messages]})

    assert answer_of(ask(serve(model), "a b", stream=True)).content == "a b "
    assert [message.text for message in generator.asked[0].messages] == ["Be brief.", "a b"]


@each_kind
@pytest.mark.parametrize("stream", [False, True])
def test_an_image_reaches_the_generator(serve: Serve, kind: Kind, stream: bool) -> None:
    generator = kind(says("A pixel."))
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]

    response = ask(serve(haystack_component(generator)), parts, stream=stream)

    assert answer_of(response).content == "A pixel."
    image = generator.asked[0].messages[0].image
    assert isinstance(image, ImageContent)
    assert (image.mime_type, image.base64_image) == ("image/png", PIXEL.partition(",")[2])


@each_kind
@pytest.mark.parametrize("stream", [False, True])
def test_a_message_that_haystack_cannot_hold_is_a_400_that_names_it(serve: Serve, kind: Kind, stream: bool) -> None:
    generator = kind(says("Never"))
    messages = [{"role": "user", "content": "Hello!"}, {"role": "user", "content": [{"type": "input_audio"}]}]

    response = ask(serve(haystack_component(generator)), messages=messages, stream=stream)

    assert (response.status_code, error_of(response)["param"]) == (400, "messages[1]")
    assert not generator.asked


@each_kind
@pytest.mark.parametrize("stream", [False, True])
def test_more_than_one_answer_is_a_400(serve: Serve, kind: Kind, stream: bool) -> None:
    generator = kind(says("Never"))

    response = ask(serve(haystack_component(generator)), n=2, stream=stream)

    assert (response.status_code, error_of(response)["param"]) == (400, "n")
    assert not generator.asked


@each_kind
@pytest.mark.parametrize("n", [None, 1])
def test_one_answer_may_be_asked_for(serve: Serve, kind: Kind, n: int | None) -> None:
    assert answer_of(ask(serve(haystack_component(kind(says("One")))), n=n)).content == "One"


@each_kind
@pytest.mark.parametrize("stream", [False, True])
def test_a_generator_behind_haystack_s_fallback_is_heard(serve: Serve, kind: Kind, stream: bool) -> None:
    generator = FallbackChatGenerator([kind(says(RuntimeError("Down"))), kind(says("Up"))])

    assert answer_of(ask(serve(haystack_component(generator)), stream=stream)).content == "Up"


@pytest.mark.parametrize("stream", [False, True])
def test_haystack_s_own_generator_is_heard(serve: Serve, stream: bool) -> None:
    model = haystack_component(MockChatGenerator("one two three"))

    answer = answer_of(ask(serve(model), stream=stream, **(USAGE if stream else {})))

    assert (answer.content, answer.finish_reason) == ("one two three", "stop")
    assert answer.usage is not None


@component
class Modest:
    """A generator that takes messages alone, and cannot stream."""

    @component.output_types(replies=list[ChatMessage])
    def run(self, messages: list[ChatMessage]) -> dict[str, list[ChatMessage]]:
        meta: dict[str, Any] = {"finish_reason": "length", "usage": usage_of(1, 1)}
        return {"replies": [ChatMessage.from_assistant(f"You said {messages[-1].text}", meta=meta)]}


@pytest.mark.parametrize("stream", [False, True])
def test_a_generator_that_takes_messages_alone_answers_at_once(serve: Serve, stream: bool) -> None:
    response = ask(serve(haystack_component(Modest())), "Hi", temperature=1, tools=[TOOL], stream=stream)

    assert answer_of(response).content == "You said Hi"
    assert finish_reason_of(response) == "length"


@each_kind
def test_each_answer_is_one_of_its_own(serve: Serve, kind: Kind) -> None:
    client = serve(haystack_component(kind(echo)))

    assert [message_of(ask(client, word))["content"] for word in ("one", "two", "one")] == ["one ", "two ", "one "]


def _compact(answer: Answer) -> Answer:
    """Arguments of calls as JSON without blanks: a whole message was made of parsed ones."""
    calls = [(call_id, name, (arguments or "{}").replace(" ", "")) for call_id, name, arguments in answer.calls]
    return Answer(answer.content, answer.reasoning, calls, answer.finish_reason, answer.usage)
