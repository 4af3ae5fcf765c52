"""The fields of an answer around its text: ids, finish reasons, usage, and the fields of full completions."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from haystack.dataclasses import ChatMessage, StreamingChunk, ToolCall
from openai.types.chat import ChatCompletion as OpenAICompletion

from schemas.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    Delta,
    FunctionCall,
    Json,
    Message,
    Usage,
)
from schemas.chat import ToolCall as ToolCallStruct
from tests.conftest import yielding
from tests.template.chat.scripted import Scripted
from tests.template.conftest import choice, chunk, completion, finish_reason_of, stream

CALL: Json = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
USAGE: Json = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
UPSTREAM: Json = {"id": "chatcmpl-upstream", "created": 7, "model": "upstream"}
LOGPROBS: Json = {"content": [{"token": "a", "logprob": -0.5}]}


class CitedChunk(ChatCompletionChunk, kw_only=True):
    citations: list[str]


class CitedCompletion(ChatCompletion, kw_only=True):
    citations: list[str]


class RatedChoice(Choice, kw_only=True):
    rating: str


class SignedCall(ToolCallStruct, kw_only=True):
    signature: str


@pytest.mark.parametrize("calls", [[], [CALL]], ids=["text", "tool call"])
@pytest.mark.parametrize(
    "given",
    ["stop", "length", "tool_calls", "content_filter", "function_call", "eos", "tool_call_results", "", None],
)
def test_a_finish_reason_is_one_of_openais(scripted: Scripted, given: Any, calls: list[Json]) -> None:
    known = ("stop", "length", "tool_calls", "content_filter", "function_call")
    implied = "tool_calls" if calls else "stop"
    delta = {"content": "Hello!", "tool_calls": [{"index": 0, **call} for call in calls]}

    for result in (
        yielding({"choices": [choice(delta, given)]}, "!"),
        yielding({"choices": [choice(delta)]}, StreamingChunk("", finish_reason=given)),
        yielding({"choices": [choice(delta)]}, StreamingChunk("", meta={"finish_reason": given})),
        {"choices": [{"message": {"content": "Hello!", "tool_calls": calls}, "finish_reason": given}]},
        ChatMessage.from_assistant(
            "Hello!", tool_calls=[ToolCall("weather", {}) for _ in calls], meta={"finish_reason": given}
        ),
    ):
        for streaming in (True, False):
            sent = finish_reason_of(scripted.ask(result, stream=streaming))
            assert sent == (given if given in known else implied)


@pytest.mark.parametrize(
    ("reported", "prompt", "generated"),
    [(None, 0, 0), ({"prompt_tokens": 3}, 3, 0), ({"prompt_tokens": None, "completion_tokens": 2}, 0, 2)],
)
def test_numbers_of_tokens_that_nobody_reported_are_0(
    scripted: Scripted, reported: Json | None, prompt: int, generated: int
) -> None:
    usage = {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}
    items = ["Hello!", *([{"usage": reported}] if reported else [])]

    *chunks, last = scripted.chunks(yielding(*items), include_usage=True)

    assert chunks == [{**each, "usage": None} for each in stream({"content": "Hello!"})]
    assert last == chunk(usage=usage)
    assert scripted.completion(yielding(*items)) == completion("Hello!") | {"usage": usage}


@pytest.mark.parametrize(("total", "sent"), [({}, 7), ({"total_tokens": 9}, 9), ({"total_tokens": 0}, 0)])
def test_the_total_of_a_usage_is_the_sum_unless_given_and_its_details_are_kept(
    scripted: Scripted, total: Json, sent: int
) -> None:
    usage = Usage(prompt_tokens=3, completion_tokens=4, prompt_tokens_details={"cached_tokens": 1}, **total)

    expected = {**USAGE, "total_tokens": sent, "prompt_tokens_details": {"cached_tokens": 1}}
    assert scripted.completion(yielding("Hello!", usage))["usage"] == expected


def test_each_response_has_an_id_of_its_own(scripted: Scripted) -> None:
    answers = [scripted.completion("Hello!"), scripted.completion("Hello!"), *scripted.chunks("Hello!")[:1]]

    assert len({answer["id"] for answer in answers}) == 3
    assert all(re.fullmatch(r"chatcmpl-[A-Za-z0-9_-]{29,}", answer["id"]) for answer in answers)
    assert all(answer["created"] > 1_700_000_000 for answer in answers)


def test_full_chunks_keep_the_id_and_model_they_carry_and_all_others_share_it(scripted: Scripted) -> None:
    items = [{**UPSTREAM, "choices": [choice({"role": "assistant", "content": text})]} for text in ("Hel", "lo")]

    chunks = scripted.chunks(yielding(*items, "!"))

    expected = stream({"content": "Hel"}, {"content": "lo"}, {"content": "!"})
    assert chunks == [{**each, **UPSTREAM} for each in expected]


@pytest.mark.parametrize(
    "kind", [dict, OpenAICompletion.model_validate, lambda whole: msgspec.convert(whole, ChatCompletion)]
)
@pytest.mark.parametrize("given", [lambda whole: whole, yielding], ids=["returned", "yielded"])
def test_a_full_completion_goes_out_as_it_is_or_split_into_chunks(
    scripted: Scripted, kind: Callable[[Json], object], given: Callable[[object], object]
) -> None:
    whole = {**completion("Hello!", finish_reason="length"), **UPSTREAM, "usage": USAGE, "service_tier": "default"}

    assert scripted.completion(given(kind(whole))) == whole
    *chunks, last = scripted.chunks(given(kind(whole)), include_usage=True)
    choices = [each["choices"] for each in stream({"content": "Hello!"}, finish_reason="length")]
    assert [each["choices"] for each in chunks] == choices
    assert all(UPSTREAM.items() <= each.items() for each in chunks[1:])
    assert (last["choices"], last["usage"]) == ([], USAGE)


def test_subclasses_of_our_structs_keep_their_fields(scripted: Scripted) -> None:
    call = SignedCall(id="call_1", function=FunctionCall(name="f", arguments="{}"), signature="s")
    answer = RatedChoice(message=Message(tool_calls=[call]), finish_reason="tool_calls", rating="high")
    item = CitedChunk(choices=[ChunkChoice(delta=Delta(content="Hello!"))], citations=["a"])

    whole = scripted.completion(CitedCompletion(choices=[answer], citations=["a"]))
    chunks = scripted.chunks(CitedCompletion(choices=[answer], citations=["a"]))

    sent = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "signature": "s"}
    expected = completion(None, finish_reason="tool_calls", tool_calls=[sent])
    expected["choices"][0]["rating"] = "high"
    assert whole == {**expected, "citations": ["a"]}
    assert chunks[1]["choices"][0]["delta"] == {"tool_calls": [{"index": 0, **sent}]}
    assert chunks[1]["citations"] == ["a"]
    assert scripted.chunks(yielding(item)) == [
        *stream()[:1],
        chunk(choice({"content": "Hello!"}), citations=["a"]),
        *stream()[1:],
    ]
    assert scripted.completion(yielding(item, "!")) == {**completion("Hello!!"), "citations": ["a"]}


def test_log_probabilities_of_chunks_add_up(scripted: Scripted) -> None:
    items = [{"choices": [choice({"content": text}, logprobs=LOGPROBS)]} for text in ("a", "b")]

    (answer,) = scripted.completion(yielding(*items))["choices"]

    assert answer["logprobs"] == {"content": LOGPROBS["content"] * 2}
