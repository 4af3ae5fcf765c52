"""Tool calls, in deltas and in whole messages: each is counted from 0 and named once."""

from typing import Any
from unittest.mock import ANY

import pytest

from schemas.chat import Json
from tests.conftest import message_of, yielding
from tests.template.chat import samples
from tests.template.chat.samples import Form, Said
from tests.template.chat.scripted import Scripted
from tests.template.conftest import deltas_of

MADE: Any = ANY  # an id that the server makes
SIGNED: Json = {"extra_content": {"signature": "s"}}


def named(index: int, id: str, name: str, arguments: Any = "", **extra: object) -> Json:
    """Return the first delta of a call."""
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": id, "type": "function", "function": function, **extra}


def more(index: int, arguments: Any, **extra: object) -> Json:
    """Return a later delta of a call."""
    return {"index": index, "function": {"arguments": arguments}, **extra}


def whole(id: str, name: str, arguments: str, **extra: object) -> Json:
    """Return a call as a whole message has it."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}, **extra}


def called(name: str | None, arguments: str, **fields: object) -> Json:
    """Return a delta of a call without an id."""
    return {**fields, "function": {"name": name, "arguments": arguments} if name else {"arguments": arguments}}


def unnumbered(call: Json) -> Json:
    return {name: value for name, value in call.items() if name != "index"}


@pytest.mark.parametrize(
    ("deltas", "streamed", "collected"),
    [
        pytest.param(
            [[named(0, "a", "f")], [more(0, '{"a":')], [more(0, "1}")]],
            [[named(0, "a", "f")], [more(0, '{"a":')], [more(0, "1}")]],
            [whole("a", "f", '{"a":1}')],
            id="named once, then its arguments",
        ),
        pytest.param(
            [[named(0, "a", "f", "{")], [named(0, "a", "f", "}")]],
            [[named(0, "a", "f", "{")], [more(0, "}")]],
            [whole("a", "f", "{}")],
            id="its source repeats id and name",
        ),
        pytest.param(
            [[named(0, "a", "f", {"a": 1})]],
            [[named(0, "a", "f", '{"a":1}')]],
            [whole("a", "f", '{"a":1}')],
            id="arguments are an object",
        ),
        pytest.param(
            [[named(7, "a", "f")], [named(3, "b", "g")], [more(7, "{}")]],
            [[named(0, "a", "f")], [named(1, "b", "g")], [more(0, "{}")]],
            [whole("a", "f", "{}"), whole("b", "g", "")],
            id="its source counts otherwise",
        ),
        pytest.param(
            [[named(0, "a", "f", "["), named(1, "b", "g", "{")], [more(1, "}")], [more(0, "]")]],
            [[named(0, "a", "f", "["), named(1, "b", "g", "{")], [more(1, "}")], [more(0, "]")]],
            [whole("a", "f", "[]"), whole("b", "g", "{}")],
            id="two that interleave",
        ),
        pytest.param(
            [[named(0, "a", "f", "{}")], [named(0, "b", "g", "{}")]],
            [[named(0, "a", "f", "{}")], [named(1, "b", "g", "{}")]],
            [whole("a", "f", "{}"), whole("b", "g", "{}")],
            id="two of one index and two ids",
        ),
        pytest.param(
            [[unnumbered(named(0, "a", "f", "{}"))], [unnumbered(named(0, "b", "g", "{}"))]],
            [[named(0, "a", "f", "{}")], [named(1, "b", "g", "{}")]],
            [whole("a", "f", "{}"), whole("b", "g", "{}")],
            id="two ids and no index",
        ),
        pytest.param(
            [[unnumbered(named(0, "a", "f", "["))], [unnumbered(more(0, "]"))], [unnumbered(named(0, "b", "g"))]],
            [[named(0, "a", "f", "[")], [more(0, "]")], [named(1, "b", "g")]],
            [whole("a", "f", "[]"), whole("b", "g", "")],
            id="ids only where they begin, and no index",
        ),
        pytest.param(
            [[{"function": {"name": "f", "arguments": "["}}], [{"function": {"arguments": "]"}}], [called("f", "{}")]],
            [[named(0, MADE, "f", "[")], [more(0, "]")], [named(1, MADE, "f", "{}")]],
            [whole(MADE, "f", "[]"), whole(MADE, "f", "{}")],
            id="neither id nor index: a name begins a call",
        ),
        pytest.param(
            [[called("f", "["), called("g", "{")], [called(None, "]"), called(None, "}")], [called(None, " ")]],
            [[named(0, MADE, "f", "["), named(1, MADE, "g", "{")], [more(0, "]"), more(1, "}")], [more(1, " ")]],
            [whole(MADE, "f", "[]"), whole(MADE, "g", "{} ")],
            id="neither id nor index, several in one list",
        ),
        pytest.param(
            [
                [{"index": 0, "id": "a"}],
                [more(0, "[")],
                [more(0, "1"), named(1, "b", "g")],
                [called("f", "]", index=0)],
            ],
            [[named(0, "b", "g")], [named(1, "a", "f", "[1]")]],
            [whole("b", "g", ""), whole("a", "f", "[1]")],
            id="its name comes after its id and its arguments",
        ),
        pytest.param(
            [[named(0, "a", "get_")], [called("weather", "", index=0)], [more(0, "{}")]],
            [[named(0, "a", "get_")], [called("weather", "", index=0)], [more(0, "{}")]],
            [whole("a", "get_weather", "{}")],
            id="a name in pieces",
        ),
        pytest.param(
            [[more(0, "{}", id="a")]],
            [[named(0, "a", "", "{}")]],
            [whole("a", "", "{}")],
            id="a name that never comes",
        ),
        pytest.param(
            [[{"index": None, "id": None, "type": None, "function": {"name": "f", "arguments": None}}]],
            [[named(0, MADE, "f")]],
            [whole(MADE, "f", "")],
            id="nulls",
        ),
        pytest.param(
            [[named(0, "a", "f", "{}", **SIGNED)]],
            [[named(0, "a", "f", "{}", **SIGNED)]],
            [whole("a", "f", "{}", **SIGNED)],
            id="fields that OpenAI does not have",
        ),
        pytest.param(
            [[{"index": 3, "id": "a", "type": "custom", "custom": {"name": "shell", "input": "ls"}}]],
            [[{"index": 0, "id": "a", "type": "custom", "custom": {"name": "shell", "input": "ls"}}]],
            [{"id": "a", "type": "custom", "custom": {"name": "shell", "input": "ls"}}],
            id="a custom tool has no function",
        ),
    ],
)
def test_deltas_of_tool_calls_are_numbered_and_add_up(
    scripted: Scripted, deltas: list[list[Json]], streamed: list[list[Json]], collected: list[Json]
) -> None:
    result = yielding(*({"choices": [{"delta": {"tool_calls": calls}}]} for calls in deltas))

    assert deltas_of(scripted.ask(result, stream=True)) == [{"tool_calls": calls} for calls in streamed]
    message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": collected}
    assert message_of(scripted.ask(result)) == message


def test_an_id_that_comes_late_does_not_make_another_call(scripted: Scripted) -> None:
    first, second = unnumbered(named(0, "", "f", "{")) | {"index": 0, "id": None}, more(0, "}", id="late")
    result = yielding(*({"choices": [{"delta": {"tool_calls": [call]}}]} for call in (first, second)))

    streamed = [call for delta in deltas_of(scripted.ask(result, stream=True)) for call in delta["tool_calls"]]

    assert {call["index"] for call in streamed} == {0}
    assert [call["function"] for call in message_of(scripted.ask(result))["tool_calls"]] == [
        {"name": "f", "arguments": "{}"}
    ]


@pytest.mark.parametrize("given", [True, False], ids=["ids", "no ids"])
@pytest.mark.parametrize(
    "form",
    [
        *(samples.chunk_dict, samples.delta, samples.streaming_chunk),
        *(samples.completion_dict, samples.completion, samples.chat_message),
    ],
)
def test_calls_of_any_form_keep_their_ids_or_get_one_each_and_have_an_index_only_in_a_stream(
    scripted: Scripted, form: Form, given: bool
) -> None:
    calls = [samples.call(number, "weather", "{}", f"mine_{number}" if given else None) for number in (1, 2)]
    result = yielding(form(Said({0: {"tool_calls": calls, "finish_reason": "tool_calls"}})))

    collected = message_of(scripted.ask(result))["tool_calls"]
    streamed = [call for delta in deltas_of(scripted.ask(result, stream=True)) for call in delta["tool_calls"]]

    assert [call.pop("index") for call in streamed] == [0, 1]
    for sent in (collected, streamed):
        ids = [call.pop("id") for call in sent]
        assert ids == ["mine_1", "mine_2"] if given else len({each for each in ids if each.startswith("call_")}) == 2
        assert sent == [{"type": "function", "function": {"name": "weather", "arguments": "{}"}}] * 2
