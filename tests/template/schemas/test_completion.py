"""A whole completion on the wire: what is unset is left out, what is null is sent."""

import json

import msgspec
import pytest
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion as OpenAICompletion

from schemas.chat import ChatCompletion, Choice, FunctionCall, Json, Message, ToolCall, Usage
from tests.factories import ChatCompletionFactory, ChoiceFactory, UsageFactory
from tests.template.factories import FunctionCallFactory, MessageFactory, ToolCallFactory


def on_the_wire(value: object) -> Json:
    body: Json = json.loads(msgspec.json.encode(value))
    return body


def test_a_completion_carries_what_openai_always_sends() -> None:
    completion = ChatCompletion(id="a", created=7, model="b", choices=[Choice(message=Message(content="c"))])

    assert on_the_wire(completion) == {
        "id": "a",
        "object": "chat.completion",
        "created": 7,
        "model": "b",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "c", "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
    }


def test_a_message_that_calls_a_tool_has_a_content_of_null() -> None:
    call = ToolCall(id="call_1", function=FunctionCall(name="f", arguments="{}"))

    assert on_the_wire(Message(tool_calls=[call])) == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }


@pytest.mark.parametrize(("total", "expected"), [({}, 7), ({"total_tokens": 9}, 9), ({"total_tokens": 0}, 0)])
def test_the_total_of_a_usage_is_the_sum_unless_given(total: Json, expected: int) -> None:
    assert Usage(prompt_tokens=3, completion_tokens=4, **total).total_tokens == expected


def test_any_completion_is_what_openai_expects() -> None:
    for completion in ChatCompletionFactory.batch(20, service_tier="default"):
        for choice in completion.choices:
            choice.logprobs = None
        OpenAICompletion.model_validate(on_the_wire(completion), strict=False)


def test_any_usage_is_what_openai_expects() -> None:
    usage = UsageFactory.build(prompt_tokens_details=msgspec.UNSET, completion_tokens_details=msgspec.UNSET)

    assert CompletionUsage.model_validate(on_the_wire(usage), strict=True).total_tokens == usage.total_tokens


@pytest.mark.parametrize(
    "factory",
    [ChatCompletionFactory, ChoiceFactory, MessageFactory, ToolCallFactory, FunctionCallFactory, UsageFactory],
)
def test_what_is_sent_can_be_read_again(factory: type[ChatCompletionFactory]) -> None:
    for value in factory.batch(10):
        assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


def test_a_subclass_sends_its_own_fields() -> None:
    class Cited(ChatCompletion, kw_only=True):
        citations: list[str]

    assert on_the_wire(Cited(choices=[], citations=["a"]))["citations"] == ["a"]
