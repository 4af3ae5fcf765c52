"""A chunk on the wire: a delta carries only what it adds."""

import json

import msgspec
import pytest
from openai.types.chat import ChatCompletionChunk as OpenAIChunk

from schemas.chat import ChatCompletionChunk, ChunkChoice, Delta, FunctionCallDelta, Json, ToolCallDelta
from tests.factories import UsageFactory
from tests.template.factories import (
    ChatCompletionChunkFactory,
    ChunkChoiceFactory,
    DeltaFactory,
    FunctionCallDeltaFactory,
    ToolCallDeltaFactory,
)


def on_the_wire(value: object) -> Json:
    body: Json = json.loads(msgspec.json.encode(value))
    return body


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        (Delta(), {}),
        (Delta(role="assistant", content=""), {"role": "assistant", "content": ""}),
        (Delta(content="a"), {"content": "a"}),
        (Delta(reasoning_content="a"), {"reasoning_content": "a"}),
        (
            Delta(tool_calls=[ToolCallDelta(index=0, function=FunctionCallDelta(arguments="{"))]),
            {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
        ),
    ],
)
def test_a_delta_carries_only_what_it_adds(delta: Delta, expected: Json) -> None:
    assert on_the_wire(delta) == expected


def test_a_running_chunk_has_a_finish_reason_of_null() -> None:
    chunk = ChatCompletionChunk(id="a", created=7, model="b", choices=[ChunkChoice(delta=Delta(content="c"))])

    assert on_the_wire(chunk) == {
        "id": "a",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "b",
        "choices": [{"index": 0, "delta": {"content": "c"}, "finish_reason": None}],
    }


def test_a_chunk_may_say_that_it_has_no_usage() -> None:
    assert on_the_wire(ChatCompletionChunk(choices=[], usage=None))["usage"] is None
    assert on_the_wire(ChatCompletionChunk(choices=[], usage=UsageFactory.build()))["usage"].keys() >= {"total_tokens"}


def test_any_chunk_is_what_openai_expects() -> None:
    for chunk in ChatCompletionChunkFactory.batch(20, service_tier="default"):
        for choice in chunk.choices:
            choice.logprobs = None
        OpenAIChunk.model_validate(on_the_wire(chunk), strict=False)


@pytest.mark.parametrize(
    "factory",
    [
        ChatCompletionChunkFactory,
        ChunkChoiceFactory,
        DeltaFactory,
        ToolCallDeltaFactory,
        FunctionCallDeltaFactory,
    ],
)
def test_what_is_sent_can_be_read_again(factory: type[ChatCompletionChunkFactory]) -> None:
    for value in factory.batch(10):
        assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value
