"""Whatever a service yields, its stream keeps the rules of a stream."""

from collections import defaultdict
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from tests.template.properties.forms import Json
from tests.template.properties.samples import Sample, completion_of, samples
from tests.template.properties.scripted import DONE, MODEL, Manner, Scripted, data_of, script

ROLE = {"role": "assistant", "content": ""}

manners = st.sampled_from(get_args(Manner))


@given(said=samples(), manner=manners, include_usage=st.booleans())
def test_every_frame_but_the_last_is_a_chunk_of_openais_type(
    scripted: Scripted, said: list[Sample], manner: Manner, include_usage: bool
) -> None:
    response = scripted.ask(script(said, manner), stream=True, stream_options={"include_usage": include_usage})
    *chunks, done = data_of(response)
    assert done == DONE
    for chunk in chunks:
        ChatCompletionChunk.model_validate_json(chunk, strict=True)


@given(said=samples(), manner=manners)
def test_all_chunks_share_one_head(scripted: Scripted, said: list[Sample], manner: Manner) -> None:
    chunks = scripted.chunks(script(said, manner))
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    assert {(chunk["model"], chunk["object"]) for chunk in chunks} == {(MODEL, "chat.completion.chunk")}
    assert len(chunks[0]["id"].removeprefix("chatcmpl-")) >= 29


@given(said=samples(), manner=manners)
def test_the_role_comes_once_in_each_answer_and_first(scripted: Scripted, said: list[Sample], manner: Manner) -> None:
    chunks = scripted.chunks(script(said, manner))
    assert chunks[0]["choices"][0]["delta"] == ROLE
    for first, *others in answers_of(chunks).values():
        assert first["delta"] == ROLE
        assert not any("role" in choice["delta"] for choice in others)


@given(said=samples(), manner=manners)
def test_the_finish_reason_comes_once_in_each_answer_and_last(
    scripted: Scripted, said: list[Sample], manner: Manner
) -> None:
    chunks = scripted.chunks(script(said, manner))
    for *others, last in answers_of(chunks).values():
        assert last["delta"] == {}
        assert last["finish_reason"] is not None
        assert all(choice["finish_reason"] is None for choice in others)


@given(said=samples(), manner=manners)
def test_no_key_of_a_delta_is_null(scripted: Scripted, said: list[Sample], manner: Manner) -> None:
    chunks = scripted.chunks(script(said, manner))
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert not [delta for delta in deltas if None in delta.values()]


@given(said=samples(), manner=manners)
def test_no_chunk_has_the_key_of_usage_unless_the_client_asks(
    scripted: Scripted, said: list[Sample], manner: Manner
) -> None:
    chunks = scripted.chunks(script(said, manner), include_usage=False)
    assert not [chunk for chunk in chunks if "usage" in chunk]


@given(said=samples(), manner=manners)
def test_the_last_chunk_carries_the_usage_that_the_service_reports(
    scripted: Scripted, said: list[Sample], manner: Manner
) -> None:
    chunks = scripted.chunks(script(said, manner), include_usage=True)
    reported = completion_of(said).get("usage")
    if reported:
        last = chunks.pop()
        assert (last["choices"], last["usage"]) == ([], reported)
    assert all(chunk["usage"] is None for chunk in chunks)


@given(said=samples(), manner=manners)
def test_tool_calls_are_counted_from_0_and_named_where_they_begin(
    scripted: Scripted, said: list[Sample], manner: Manner
) -> None:
    chunks = scripted.chunks(script(said, manner))
    for answer in answers_of(chunks).values():
        begun: set[str] = set()
        known = 0
        for call in (call for choice in answer for call in choice["delta"].get("tool_calls", [])):
            names = {*call, *call["function"]} & {"id", "type", "name"}
            if call["index"] == known:
                known += 1
                assert names == {"id", "type", "name"}
                assert call["id"] not in begun
                begun.add(call["id"])
            else:
                assert call["index"] < known
                assert not names


@given(said=samples(), manner=manners)
def test_an_event_keeps_its_place_between_the_texts(scripted: Scripted, said: list[Sample], manner: Manner) -> None:
    chunks = scripted.chunks(script(said, manner))
    sent = [chunk.get("event") or content_of(chunk) for chunk in chunks]
    meant = [sample.said.event or sample.said.part.content for sample in said]
    assert joined(sent) == joined(meant)


def answers_of(chunks: list[Json]) -> dict[int, list[Json]]:
    """What the chunks carry of each answer."""
    answers = defaultdict(list)
    for chunk in chunks:
        for choice in chunk["choices"]:
            answers[choice["index"]].append(choice)
    return answers


def content_of(chunk: Json) -> str:
    """The text that a chunk adds to the first answer."""
    return "".join(choice["delta"].get("content", "") for choice in chunk["choices"] if choice["index"] == 0)


def joined(parts: list[str | Json]) -> list[str | Json]:
    """Texts and events in their order, with the texts between two events as one."""
    result: list[str | Json] = [""]
    for part in parts:
        if isinstance(part, str) and isinstance(result[-1], str):
            result[-1] += part
        else:
            result += [part, ""]
    return result
