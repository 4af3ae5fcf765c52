"""A whole completion: what is collected from items, and what of a service's own is kept or filled in."""

from typing import Any
from unittest.mock import ANY

import msgspec
import pytest

from schemas.chat import ChatCompletion, Choice, FunctionCall, Json, Message, ToolCall
from tests.conftest import Serve, ask, chunks_of, message_of, returning, yielding
from tests.factories import ChatCompletionFactory, ChoiceFactory
from tests.template.conftest import choice, chunk, completion
from tests.template.factories import MessageFactory


class SignedCall(ToolCall, kw_only=True):
    signature: str


class MoodyMessage(Message, kw_only=True):
    mood: str


class SafeChoice(Choice, kw_only=True):
    safety: str


class CitedCompletion(ChatCompletion, kw_only=True):
    citations: list[str]


def with_extra_fields() -> CitedCompletion:
    call = SignedCall(id="call_1", function=FunctionCall(name="f", arguments="{}"), signature="s")
    message = MoodyMessage(content="Hello!", tool_calls=[call], mood="gay")
    return CitedCompletion(
        choices=[SafeChoice(message=message, finish_reason="tool_calls", safety="high")], citations=["a"]
    )


EXTRA_FIELDS = pytest.mark.parametrize(
    "whole", [with_extra_fields(), msgspec.to_builtins(with_extra_fields())], ids=["Struct", "dict"]
)
LOGPROBS: Json = {"content": [{"token": "a", "logprob": -0.5}]}


@EXTRA_FIELDS
def test_a_whole_completion_keeps_extra_fields_at_every_level(serve: Serve, whole: object) -> None:
    body = ask(serve(returning(whole))).json()

    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "signature": "s"}
    expected = completion("Hello!", finish_reason="tool_calls", tool_calls=[call], mood="gay")
    expected["choices"][0]["safety"] = "high"
    assert body == {**expected, "citations": ["a"]}


@EXTRA_FIELDS
def test_extra_fields_of_a_whole_completion_are_streamed_too(serve: Serve, whole: object) -> None:
    chunks = chunks_of(ask(serve(returning(whole)), stream=True))

    deltas = [each["choices"][0]["delta"] for each in chunks]
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert {"tool_calls": [{**call, "signature": "s"}]} in deltas
    assert {"mood": "gay"} in deltas
    assert any(each["choices"][0].get("safety") == "high" for each in chunks)
    assert all(each["citations"] == ["a"] for each in chunks[1:])


def test_a_completion_without_an_id_and_a_model_gets_them(serve: Serve) -> None:
    whole = ChatCompletion(choices=[Choice(message=Message(content="Hello!"))])

    body = ask(serve(returning(whole))).json()

    assert body == completion("Hello!")
    assert body["id"].startswith("chatcmpl-")
    assert body["created"] > 1_700_000_000


def test_a_completion_of_a_dict_gets_what_openai_requires(serve: Serve) -> None:
    message = {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}

    body = ask(serve(returning({"choices": [{"message": message}]}))).json()

    call = {"id": ANY, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert body == completion(None, finish_reason="tool_calls", tool_calls=[call])


def test_a_full_completion_is_not_changed(serve: Serve) -> None:
    message = MessageFactory.build(tool_calls=msgspec.UNSET)
    whole = ChatCompletionFactory.build(
        choices=[ChoiceFactory.build(message=message, finish_reason="length", logprobs=LOGPROBS)]
    )

    assert ask(serve(returning(whole))).json() == msgspec.to_builtins(whole)


def test_several_choices_of_a_completion_are_kept(serve: Serve) -> None:
    choices = [Choice(index=index, message=Message(content=f"Hello {index}")) for index in range(2)]
    client = serve(returning(ChatCompletion(choices=choices)))

    assert [each["message"]["content"] for each in ask(client).json()["choices"]] == ["Hello 0", "Hello 1"]
    streamed = [each for part in chunks_of(ask(client, stream=True)) for each in part["choices"]]
    assert [(each["index"], each["delta"]["content"]) for each in streamed if each["delta"].get("content")] == [
        (0, "Hello 0"),
        (1, "Hello 1"),
    ]


def test_log_probabilities_of_chunks_add_up(serve: Serve) -> None:
    items = [{"choices": [choice({"content": text}, logprobs=LOGPROBS)]} for text in ("a", "b")]

    (answer,) = ask(serve(yielding(*items))).json()["choices"]

    assert answer["logprobs"] == {"content": LOGPROBS["content"] * 2}


@pytest.mark.parametrize("name", ["reasoning_content", "refusal", "commentary"])
def test_text_of_any_field_of_a_delta_adds_up(serve: Serve, name: str) -> None:
    items = [{"choices": [choice({name: text})]} for text in ("I can", "not.")]

    assert message_of(ask(serve(yielding(*items))))[name] == "I cannot."


def test_objects_of_a_delta_are_merged(serve: Serve) -> None:
    deltas: list[Json] = [{"audio": {"id": "a", "data": "AA"}}, {"audio": {"data": "BB", "expires_at": 7}}]

    message = message_of(ask(serve(yielding(*({"choices": [choice(delta)]} for delta in deltas)))))

    assert message["audio"] == {"id": "a", "data": "AABB", "expires_at": 7}


def test_items_of_a_service_are_not_changed(serve: Serve) -> None:
    call = {"index": 4, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}
    items: list[Any] = [{"choices": [choice({"tool_calls": [dict(call)]})]}, {"choices": [choice({"audio": {"a": 1}})]}]
    before = msgspec.json.encode(items)
    client = serve(yielding(*items, *items))

    first, second = (ask(client).json()["choices"] for _ in range(2))

    assert msgspec.json.encode(items) == before
    assert first == second


def test_what_is_collected_is_what_is_streamed(serve: Serve) -> None:
    client = serve(yielding("Hel", {"choices": [choice({"content": "lo", "mood": "gay"})], "citations": ["a"]}, "!"))

    streamed = chunks_of(ask(client, stream=True))

    assert streamed[2] == chunk(choice({"content": "lo", "mood": "gay"}), citations=["a"])
    assert ask(client).json() == {**completion("Hello!", mood="gay"), "citations": ["a"]}
