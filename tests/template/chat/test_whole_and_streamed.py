"""Whatever a service returns or yields, nothing of it is lost, and the whole answer says what the stream says."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.chat import Json
from tests.conftest import yielding
from tests.template.chat.samples import Said, Sample, any_text, chunk_dict, completion_of, samples, whole_samples
from tests.template.chat.scripted import WAYS, Scripted, Way, accumulated, played, summary
from tests.template.conftest import stream

ways = st.sampled_from(WAYS)
names = st.text("abcé-", min_size=1, max_size=3).map("x_{}".format)  # of fields that OpenAI does not have
values = st.recursive(
    st.booleans() | st.integers(-9, 9) | any_text,
    lambda values: st.lists(values, max_size=2) | st.dictionaries(names, values, max_size=2),
    max_leaves=4,
)
extras = st.dictionaries(names, values.filter(lambda value: value not in ("", [])), max_size=2)
indexed = st.fixed_dictionaries({"index": st.just(0), "type": st.just("x"), "text": any_text})


@given(said=samples(), way=ways)
def test_a_whole_answer_and_a_stream_say_all_that_the_items_say(
    scripted: Scripted, said: list[Sample], way: Way
) -> None:
    chunks = scripted.chunks(played(said, way), include_usage=True)
    completion = scripted.completion(played(said, way))

    assert summary(accumulated(chunks)) == summary(completion) == completion_of(said)


@given(said=whole_samples())
def test_a_completion_that_is_returned_says_the_same_whole_and_streamed(scripted: Scripted, said: Sample) -> None:
    chunks = scripted.chunks(said.item, include_usage=True)

    assert summary(accumulated(chunks)) == summary(scripted.completion(said.item)) == completion_of([said])


@given(order=st.permutations(range(3)), texts=st.lists(any_text, min_size=3, max_size=3))
def test_several_answers_may_begin_in_any_order(scripted: Scripted, order: list[int], texts: list[str]) -> None:
    said = [Sample(Said({index: {"content": texts[index]}}), chunk_dict) for index in order]

    chunks, completion = scripted.chunks(played(said)), scripted.completion(played(said))

    assert summary(accumulated(chunks)) == summary(completion) == completion_of(said)


@given(
    arguments=st.lists(any_text, max_size=3), pieces=st.lists(st.sampled_from(["id", "name", "nothing"]), max_size=3)
)
def test_a_tool_call_may_come_in_any_pieces(scripted: Scripted, arguments: list[str], pieces: list[str]) -> None:
    parts: dict[str, Json] = {
        "id": {"id": "call_1", "type": "function"},
        "name": {"function": {"name": "tool"}},
        "nothing": {},
    }
    deltas = [
        *(parts[piece] for piece in [*pieces, "name"]),
        *({"function": {"arguments": text}} for text in arguments),
    ]
    items = [{"choices": [{"delta": {"tool_calls": [{"index": 0, **delta}]}}]} for delta in deltas]

    chunks, completion = scripted.chunks(yielding(*items)), scripted.completion(yielding(*items))

    assert summary(accumulated(chunks)) == summary(completion)
    (call,) = completion["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "tool", "arguments": "".join(arguments)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 500])
def test_an_answer_of_more_items_than_may_wait_arrives_whole(scripted: Scripted, count: int, way: Way) -> None:
    items = [f"{position} " for position in range(count)]

    assert scripted.chunks(way(*items)) == stream(*({"content": item} for item in items))


@given(chunk=extras, choice=extras, delta=extras)
def test_a_chunk_keeps_its_extra_fields_at_every_level(
    scripted: Scripted, chunk: Json, choice: Json, delta: Json
) -> None:
    item = {"choices": [{"delta": {"content": "text", **delta}, **choice}], **chunk}

    _, passed, _ = scripted.chunks(yielding(item))
    completion = scripted.completion(yielding(item))

    assert passed["choices"][0]["delta"] == {"content": "text", **delta}
    for sent, message in ((passed, "delta"), (completion, "message")):
        assert chunk.items() <= sent.items()
        assert choice.items() <= sent["choices"][0].items()
        assert delta.items() <= sent["choices"][0][message].items()


@given(completion=extras, choice=extras, message=extras)
def test_a_completion_keeps_its_extra_fields_at_every_level(
    scripted: Scripted, completion: Json, choice: Json, message: Json
) -> None:
    item = {"choices": [{"message": {"content": "text", **message}, **choice}], **completion}

    whole = scripted.completion(item)
    chunks = scripted.chunks(item)

    assert completion.items() <= whole.items()
    assert choice.items() <= whole["choices"][0].items()
    assert message.items() <= whole["choices"][0]["message"].items()
    choices = [chunk["choices"][0] for chunk in chunks]
    assert any(completion.items() <= chunk.items() for chunk in chunks)
    assert any(choice.items() <= sent.items() for sent in choices)
    assert any(message.items() <= sent["delta"].items() for sent in choices)


@example(deltas=[{"id": "a", "data": "AA"}, {"data": "BB", "expires_at": 7}])  # of OpenAI's audio
@given(
    deltas=st.one_of(
        st.lists(any_text),
        st.lists(st.lists(any_text, max_size=2)),
        st.lists(st.dictionaries(st.sampled_from("ab"), any_text)),
        st.lists(st.lists(indexed, max_size=1)),
    )
)
def test_an_extra_field_adds_up_over_the_deltas_as_in_openais_client(
    scripted: Scripted, deltas: list[str | list[Json]]
) -> None:
    items = [{"choices": [{"delta": {"x_field": value}}]} for value in deltas]

    chunks, completion = scripted.chunks(yielding(*items)), scripted.completion(yielding(*items))

    assert summary(completion) == summary(accumulated(chunks))
