"""Every kind of item that an iterator may yield, streamed and collected."""

from dataclasses import dataclass
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from app.engine.results import ItemReader, is_completion, text_of
from app.services import Hooks
from schemas.chat import ChatCompletion, ChatCompletionChunk, Choice, ChunkChoice, Delta, Json, Message
from tests.conftest import Serve, ask, chunks_of, message_of, returning, streamed_text, yielding
from tests.factories import ChatCompletionFactory, UsageFactory
from tests.template.conftest import chunk, completion, deltas_of, stream

REASONING_FIELDS = [
    ("reasoning_content", {"reasoning_content": "Hm."}),
    ("reasoning", {"reasoning": "Hm."}),
    ("both", {"reasoning_content": "Hm.", "reasoning": "Hm."}),
]


class Word(StrEnum):
    HELLO = "Hello!"


@dataclass
class Token:
    content: str


@dataclass
class Nameless:
    value: int

    def __str__(self) -> str:
        return f"{self.value} %"


class Status:
    def to_event_dict(self) -> Json:
        return {"type": "status", "data": {"done": True}}


def streaming_chunk(content: str = "", **parts: Any) -> SimpleNamespace:
    """An object with the attributes of a Haystack chunk."""
    return SimpleNamespace(
        **{"content": content, "tool_calls": None, "reasoning": None, "finish_reason": None, "meta": {}, **parts}
    )


TEXTS = {
    "text": "Hello!",
    "text of a subclass": Word.HELLO,
    "delta": Delta(content="Hello!"),
    "chunk": ChatCompletionChunk(choices=[ChunkChoice(delta=Delta(content="Hello!"))]),
    "completion": ChatCompletion(choices=[Choice(message=Message(content="Hello!"))]),
    "dict of a chunk": {"choices": [{"delta": {"content": "Hello!"}}]},
    "dict of a completion": {"object": "chat.completion", "choices": [{"message": {"content": "Hello!"}}]},
    "chunk of haystack": streaming_chunk("Hello!"),
}
UNKNOWN_TEXTS = {"dataclass": Token("Hello!"), "object": SimpleNamespace(content="Hello!")}


@pytest.mark.parametrize("item", [*TEXTS.values(), *UNKNOWN_TEXTS.values()], ids=[*TEXTS, *UNKNOWN_TEXTS])
def test_an_item_with_text_is_a_content_delta(serve: Serve, item: object) -> None:
    client = serve(yielding(item, " How are you?"))

    assert chunks_of(ask(client, stream=True)) == stream({"content": "Hello!"}, {"content": " How are you?"})
    assert ask(client).json() == completion("Hello! How are you?")


@pytest.mark.parametrize(
    "item", ["", Delta(), Delta(content=""), {"choices": []}, {"choices": [{"delta": {}}]}, streaming_chunk()]
)
def test_an_item_without_anything_is_not_sent(serve: Serve, item: object) -> None:
    client = serve(yielding("a", item, "b"))

    assert chunks_of(ask(client, stream=True)) == stream({"content": "a"}, {"content": "b"})
    assert ask(client).json() == completion("ab")


@pytest.mark.parametrize(("item", "text"), [(Nameless(7), "7 %"), (42, "42"), (1.5, "1.5"), ({"a": 1}, "{'a': 1}")])
def test_anything_else_is_its_text(serve: Serve, item: object, text: str) -> None:
    client = serve(yielding(item))

    assert streamed_text(ask(client, stream=True)) == text
    assert message_of(ask(client))["content"] == text


@pytest.mark.parametrize(
    ("item", "mapper"),
    [
        (Nameless(7), lambda item: str(item.value)),
        ({"token": "7"}, lambda item: item["token"]),
        (SimpleNamespace(delta="7"), lambda item: item.delta),
        (["7"], lambda item: item[0]),
    ],
)
def test_a_chunk_mapper_gives_the_text_of_what_the_server_does_not_know(
    serve: Serve, item: object, mapper: Any
) -> None:
    client = serve(yielding(item, " days"), hooks=Hooks(chunk_mapper=mapper))

    assert deltas_of(ask(client, stream=True)) == [{"content": "7"}, {"content": " days"}]
    assert message_of(ask(client))["content"] == "7 days"


def test_a_chunk_mapper_never_sees_what_the_server_knows(serve: Serve) -> None:
    client = serve(yielding(*TEXTS.values(), Status()), hooks=Hooks(chunk_mapper=lambda item: "never"))

    assert "never" not in ask(client, stream=True).text


def test_an_event_goes_out_in_its_place_as_a_chunk_without_choices(serve: Serve) -> None:
    client = serve(yielding("a", Status(), "b"))

    role, first, event, second, finish = chunks_of(ask(client, stream=True))

    assert event == chunk(event={"type": "status", "data": {"done": True}})
    assert [role, first, second, finish] == stream({"content": "a"}, {"content": "b"})


def test_an_event_that_comes_first_follows_the_role(serve: Serve) -> None:
    role, event, finish = chunks_of(ask(serve(yielding(Status())), stream=True))

    assert event == chunk(event=Status().to_event_dict())
    assert [role, finish] == stream()


def test_an_event_is_left_out_of_a_whole_completion(serve: Serve) -> None:
    response = ask(serve(yielding("a", Status(), "b")))

    assert response.json() == completion("ab")


def test_one_item_may_carry_several_things_and_none_is_lost(serve: Serve) -> None:
    call = SimpleNamespace(index=0, id="call_1", tool_name="weather", arguments="{}")
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    item = streaming_chunk("Hello!", reasoning="Hm.", tool_calls=[call], finish_reason="length", meta={"usage": usage})
    client = serve(yielding(item))

    response = ask(client, stream=True, stream_options={"include_usage": True})

    wire_call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    assert deltas_of(response) == [
        {"reasoning_content": "Hm."},
        {"content": "Hello!"},
        {"tool_calls": [{"index": 0, **wire_call}]},
    ]
    *_, finish, end = chunks_of(response)
    assert (finish["choices"][0]["finish_reason"], end["choices"], end["usage"]) == ("length", [], usage)
    expected = completion("Hello!", finish_reason="length", reasoning_content="Hm.", tool_calls=[wire_call])
    assert ask(client).json() == {**expected, "usage": usage}


@pytest.mark.parametrize(
    "item",
    [
        Delta(reasoning_content="Hm."),
        ChatCompletionChunk(choices=[ChunkChoice(delta=Delta(reasoning_content="Hm."))]),
        streaming_chunk(reasoning="Hm."),
        streaming_chunk(reasoning=SimpleNamespace(reasoning_text="Hm.")),
    ],
    ids=["Delta", "ChatCompletionChunk", "text", "object"],
)
@pytest.mark.parametrize(("setting", "fields"), REASONING_FIELDS)
def test_reasoning_goes_out_in_the_fields_that_the_setting_names(
    serve: Serve, item: object, setting: str, fields: Json
) -> None:
    client = serve(yielding(item, "Hello!"), reasoning_field=setting)

    assert deltas_of(ask(client, stream=True)) == [fields, {"content": "Hello!"}]
    assert message_of(ask(client)) == {"role": "assistant", "content": "Hello!", "refusal": None, **fields}


@pytest.mark.parametrize(("setting", "fields"), REASONING_FIELDS)
def test_reasoning_of_a_whole_completion_goes_out_in_those_fields_too(serve: Serve, setting: str, fields: Json) -> None:
    whole = ChatCompletion(choices=[Choice(message=Message(content="Hello!", reasoning_content="Hm."))])
    client = serve(returning(whole), reasoning_field=setting)

    assert message_of(ask(client)) == {"role": "assistant", "content": "Hello!", "refusal": None, **fields}
    streamed: Json = {}
    for delta in deltas_of(ask(client, stream=True)):
        streamed |= delta
    assert streamed == {"content": "Hello!", **fields}


def test_a_reader_reads_a_usage_as_a_chunk_without_choices() -> None:
    usage = UsageFactory.build()

    assert list(ItemReader(text_of, ()).read(usage)) == [{"choices": [], "usage": msgspec.to_builtins(usage)}]


@pytest.mark.parametrize("value", ["text", 1, None, Delta(), {"choices": []}, {"choices": [{"delta": {}}]}, Status()])
def test_a_part_is_no_whole_completion(value: object) -> None:
    assert not is_completion(value)
    assert is_completion(ChatCompletionFactory.build())
