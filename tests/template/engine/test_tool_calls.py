"""Tool calls, in deltas and in whole messages: each counted from 0, and named once."""

import json
from typing import Any

import pytest

from app.engine.chunks import _ToolCalls as ToolCalls
from app.engine.chunks import new_call_id
from schemas.chat import ChatCompletion, Choice, Delta, FunctionCallDelta, Json, Message, ToolCallDelta
from tests.conftest import Serve, ask, chunks_of, message_of, returning, yielding
from tests.template.conftest import completion, deltas_of, finish_reason_of, stream
from tests.template.factories import FunctionCallFactory, MessageFactory, ToolCallDeltaFactory, ToolCallFactory


def call(index: Any = 0, id: str | None = None, name: str | None = None, arguments: str = "") -> Json:
    """A delta of a tool call, of those keys that are given."""
    keys: Json = {"index": index, "id": id, "type": "function" if id else None}
    function = {key: value for key, value in {"name": name, "arguments": arguments}.items() if value is not None}
    return {key: value for key, value in keys.items() if value is not None} | {"function": function}


def whole_call(id: str, name: str, arguments: str) -> Json:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def deltas(*calls: Json) -> list[Json]:
    """One chunk for each delta of a tool call."""
    return [{"choices": [{"index": 0, "delta": {"tool_calls": [each]}}]} for each in calls]


def calls_of(response: Any) -> list[Json]:
    return [each for delta in deltas_of(response) for each in delta["tool_calls"]]


def test_arguments_that_are_an_object_go_out_as_text(serve: Serve) -> None:
    asked: Any = {"function": {"name": "f", "arguments": {"a": 1}}}
    whole = {"choices": [{"message": {"tool_calls": [asked]}}]}

    for client in (serve(yielding(*deltas({"index": 0, **asked}))), serve(returning(whole))):
        (call,) = calls_of(ask(client, stream=True))
        (collected,) = ask(client).json()["choices"][0]["message"]["tool_calls"]
        assert call["function"] == collected["function"] == {"name": "f", "arguments": '{"a":1}'}


def test_a_call_is_named_once_and_its_arguments_follow(serve: Serve) -> None:
    client = serve(
        yielding(*deltas(call(0, "call_1", "weather"), call(0, None, None, '{"a":'), call(0, None, None, "1}")))
    )

    streamed = ask(client, stream=True)

    assert calls_of(streamed) == [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a":'}},
        {"index": 0, "function": {"arguments": "1}"}},
    ]
    expected = [whole_call("call_1", "weather", '{"a":1}')]
    assert ask(client).json() == completion(None, finish_reason="tool_calls", tool_calls=expected)


def test_a_source_that_repeats_ids_and_names_is_quoted_once(serve: Serve) -> None:
    client = serve(yielding(*deltas(call(0, "call_1", "weather", "{"), call(0, "call_1", "weather", "}"))))

    assert calls_of(ask(client, stream=True)) == [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{"}},
        {"index": 0, "function": {"arguments": "}"}},
    ]
    assert message_of(ask(client))["tool_calls"] == [whole_call("call_1", "weather", "{}")]


@pytest.mark.parametrize("indices", [(0, 1), (1, 2), (7, 3), (5, 0)])
def test_calls_are_counted_from_0_by_first_appearance(serve: Serve, indices: tuple[int, int]) -> None:
    first, second = indices
    client = serve(yielding(*deltas(call(first, "a", "f"), call(second, "b", "g"), call(first, None, None, "{}"))))

    assert [each["index"] for each in calls_of(ask(client, stream=True))] == [0, 1, 0]
    assert message_of(ask(client))["tool_calls"] == [whole_call("a", "f", "{}"), whole_call("b", "g", "")]


def test_parallel_calls_may_interleave(serve: Serve) -> None:
    both = {"tool_calls": [call(0, "a", "f", "["), call(1, "b", "g", "{")]}
    items = [{"choices": [{"delta": both}]}, *deltas(call(1, None, None, "}"), call(0, None, None, "]"))]
    client = serve(yielding(*items))

    opened, closed_second, closed_first = deltas_of(ask(client, stream=True))

    assert opened["tool_calls"] == [call(0, "a", "f", "["), call(1, "b", "g", "{")]
    assert closed_second["tool_calls"] == [{"index": 1, "function": {"arguments": "}"}}]
    assert closed_first["tool_calls"] == [{"index": 0, "function": {"arguments": "]"}}]
    assert message_of(ask(client))["tool_calls"] == [whole_call("a", "f", "[]"), whole_call("b", "g", "{}")]


@pytest.mark.parametrize("index", [0, None])
def test_calls_that_share_an_index_are_told_apart_by_their_ids(serve: Serve, index: int | None) -> None:
    client = serve(yielding(*deltas(call(index, "a", "f", "{}"), call(index, "b", "g", "{}"))))

    assert [(each["index"], each["id"]) for each in calls_of(ask(client, stream=True))] == [(0, "a"), (1, "b")]
    assert message_of(ask(client))["tool_calls"] == [whole_call("a", "f", "{}"), whole_call("b", "g", "{}")]


def test_a_call_whose_source_gave_no_id_gets_one(serve: Serve) -> None:
    client = serve(yielding(*deltas(call(0, None, "f", "{"), call(0, None, None, "}"))))

    first, second = calls_of(ask(client, stream=True))

    assert first["id"].startswith("call_")
    assert first["type"] == "function"
    assert second == {"index": 0, "function": {"arguments": "}"}}
    (whole,) = message_of(ask(client))["tool_calls"]
    assert whole["id"].startswith("call_")
    assert whole["id"] != first["id"]


def test_an_id_that_comes_late_does_not_make_another_call(serve: Serve) -> None:
    client = serve(yielding(*deltas(call(0, None, "f", "{"), call(0, "late", None, "}"))))

    assert [each["index"] for each in calls_of(ask(client, stream=True))] == [0, 0]
    assert len(message_of(ask(client))["tool_calls"]) == 1


def test_deltas_of_our_own_structs_are_read(serve: Serve) -> None:
    first = ToolCallDelta(index=0, id="a", type="function", function=FunctionCallDelta(name="f", arguments=""))
    second = ToolCallDeltaFactory.build(function=FunctionCallDelta(arguments="{}"), id="a")
    client = serve(yielding(Delta(tool_calls=[first]), Delta(tool_calls=[second])))

    assert message_of(ask(client))["tool_calls"] == [whole_call("a", "f", "{}")]


def test_calls_of_a_whole_message_have_an_index_only_in_a_stream(serve: Serve) -> None:
    calls = ToolCallFactory.batch(2)
    whole = ChatCompletion(choices=[Choice(message=Message(tool_calls=calls), finish_reason="tool_calls")])
    client = serve(returning(whole))

    message = message_of(ask(client))
    chunks = chunks_of(ask(client, stream=True))

    sent = [whole_call(each.id, each.function.name, each.function.arguments) for each in calls]
    assert (message["content"], message["tool_calls"]) == (None, sent)
    expected = {"tool_calls": [{"index": index, **each} for index, each in enumerate(sent)]}
    assert chunks == stream(expected, finish_reason="tool_calls")


@pytest.mark.parametrize("streaming", [True, False])
def test_calls_of_a_whole_message_that_have_no_id_get_one_each(serve: Serve, streaming: bool) -> None:
    calls = ToolCallFactory.batch(2, id="")
    message = MessageFactory.build(tool_calls=calls, content=None, refusal=None, reasoning_content="")

    response = ask(serve(returning(ChatCompletion(choices=[Choice(message=message)]))), stream=streaming)

    sent = calls_of(response) if streaming else message_of(response)["tool_calls"]
    assert len({each["id"] for each in sent}) == 2
    assert all(each["id"].startswith("call_") for each in sent)


@pytest.mark.parametrize("streaming", [True, False])
def test_an_index_in_a_whole_message_of_a_dict_does_not_reach_a_client_as_it_is(serve: Serve, streaming: bool) -> None:
    message = {"content": None, "tool_calls": [{"index": 5, **whole_call("a", "f", "{}")}]}

    response = ask(serve(returning({"choices": [{"message": message}]})), stream=streaming)

    if streaming:
        assert calls_of(response) == [{"index": 0, **whole_call("a", "f", "{}")}]
    else:
        assert message_of(response)["tool_calls"] == [whole_call("a", "f", "{}")]


@pytest.mark.parametrize("given", [None, "unknown"])
def test_the_finish_reason_of_an_answer_with_calls_is_tool_calls_unless_given(serve: Serve, given: str | None) -> None:
    finish: Json = {"choices": [{"delta": {}, "finish_reason": given}]}
    message = {"tool_calls": [whole_call("a", "f", "{}")]}
    for client in (
        serve(yielding(*deltas(call(0, "a", "f", "{}")), finish)),
        serve(returning({"choices": [{"message": message, "finish_reason": given}]})),
    ):
        assert finish_reason_of(ask(client, stream=True)) == finish_reason_of(ask(client)) == "tool_calls"


def test_text_and_calls_stand_side_by_side_in_a_message(serve: Serve) -> None:
    client = serve(yielding("Let me see. ", *deltas(call(0, "a", "f", "{}"))))

    assert message_of(ask(client)) == {
        "role": "assistant",
        "content": "Let me see. ",
        "refusal": None,
        "tool_calls": [whole_call("a", "f", "{}")],
    }


def test_extra_fields_of_a_call_are_kept(serve: Serve) -> None:
    extra = {**call(0, "a", "f", "{}"), "extra_content": {"signature": "s"}}
    client = serve(yielding(*deltas(extra)))

    assert calls_of(ask(client, stream=True)) == [extra]
    assert message_of(ask(client))["tool_calls"] == [
        {**whole_call("a", "f", "{}"), "extra_content": {"signature": "s"}}
    ]


def test_a_custom_tool_has_no_function() -> None:
    custom = {"index": 3, "id": "a", "type": "custom", "custom": {"name": "shell", "input": "ls"}}

    assert ToolCalls().delta(custom) == {**custom, "index": 0}


def test_new_ids_differ_and_say_what_they_are_of() -> None:
    ids = {new_call_id() for _ in range(100)}

    assert len(ids) == 100
    assert all(each.startswith("call_") for each in ids)


def test_arguments_are_json_as_text() -> None:
    assert json.loads(FunctionCallFactory.build().arguments) == {"city": "Paris"}
