"""Whatever a service yields, its answer is of OpenAI's type, and its stream keeps the rules of a stream."""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from schemas.chat import Json
from tests.template.chat.samples import Sample, completion_of, samples
from tests.template.chat.scripted import WAYS, Scripted, Way, data_of, played

ROLE = {"role": "assistant", "content": ""}
OWN_FIELDS = {
    "event",
    *(f"choices.{of}.{name}" for of in ("delta", "message") for name in ("reasoning_content", "note")),
}
NULLS_OF_A_CHUNK = {"choices.finish_reason"}
NULLS_OF_A_COMPLETION = {"choices.logprobs", "choices.message.refusal", "choices.message.content"}

ways = st.sampled_from(WAYS)


@given(said=samples(), way=ways)
def test_a_whole_answer_is_strictly_of_openais_type(scripted: Scripted, said: list[Sample], way: Way) -> None:
    answer = scripted.completion(played(said, way))

    assert set(undeclared_in(ChatCompletion.model_validate(answer, strict=True))) <= OWN_FIELDS
    assert set(nulls_in(answer)) <= NULLS_OF_A_COMPLETION


@pytest.mark.parametrize("include_usage", [False, True])
@given(said=samples(), way=ways)
def test_a_stream_keeps_all_rules(scripted: Scripted, said: list[Sample], way: Way, include_usage: bool) -> None:
    response = scripted.ask(played(said, way), stream=True, stream_options={"include_usage": include_usage})

    *frames, done = data_of(response)
    assert done == "[DONE]"
    every_frame_is_strictly_a_chunk_of_openais_type(frames, include_usage=include_usage)
    chunks: list[Json] = [json.loads(frame) for frame in frames]
    if include_usage:
        the_usage_is_in_the_last_chunk_alone(chunks, completion_of(said).get("usage"))
    the_role_comes_first_and_the_finish_reason_last_once_in_each_answer(chunks)
    tool_calls_are_counted_from_0_and_named_where_they_begin(chunks)
    sent = [chunk.get("event") or content_of(chunk) for chunk in chunks]
    meant = [sample.said.event or sample.said.part.get("content", "") for sample in said]
    assert joined(sent) == joined(meant), "an event keeps its place between the texts"


def every_frame_is_strictly_a_chunk_of_openais_type(frames: list[str], *, include_usage: bool) -> None:
    chunks = [ChatCompletionChunk.model_validate_json(frame, strict=True) for frame in frames]
    for chunk in chunks:
        assert set(undeclared_in(chunk)) <= OWN_FIELDS
        nulls = set(nulls_in(chunk.to_dict(mode="json", exclude_unset=True)))
        assert nulls <= NULLS_OF_A_CHUNK | ({"usage"} if include_usage else set())
        assert ("usage" in chunk.model_fields_set) == include_usage
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1
    assert chunks[0].model == "test"
    assert len(chunks[0].id.removeprefix("chatcmpl-")) >= 29


def the_usage_is_in_the_last_chunk_alone(chunks: list[Json], reported: Json | None) -> None:
    *others, last = chunks
    assert last["choices"] == []
    assert last["usage"] == (reported or dict.fromkeys(last["usage"], 0))
    assert all(chunk["usage"] is None for chunk in others)


def the_role_comes_first_and_the_finish_reason_last_once_in_each_answer(chunks: list[Json]) -> None:
    assert chunks[0]["choices"][0]["delta"] == ROLE
    for first, *between, last in answers_of(chunks).values():
        assert (first["delta"], first["finish_reason"]) == (ROLE, None)
        assert all(choice["delta"] and choice["finish_reason"] is None for choice in between)
        assert not any("role" in choice["delta"] for choice in between)
        assert last["delta"] == {}
        assert last["finish_reason"] is not None


def tool_calls_are_counted_from_0_and_named_where_they_begin(chunks: list[Json]) -> None:
    for answer in answers_of(chunks).values():
        begun: list[str] = []
        for call in (call for choice in answer for call in choice["delta"].get("tool_calls", [])):
            names = {*call, *call["function"]} & {"id", "type", "name"}
            if call["index"] == len(begun):
                assert names == {"id", "type", "name"}
                assert call["id"] not in begun
                begun.append(call["id"])
            else:
                assert call["index"] < len(begun)
                assert not names


def answers_of(chunks: list[Json]) -> dict[int, list[Json]]:
    """Return the choices of all chunks, by the index of their answer."""
    answers = defaultdict(list)
    for chunk in chunks:
        for choice in chunk["choices"]:
            answers[choice["index"]].append(choice)
    return answers


def content_of(chunk: Json) -> str:
    """Return the text that a chunk adds to the first answer."""
    return "".join(choice["delta"].get("content", "") for choice in chunk["choices"] if choice["index"] == 0)


def joined(parts: list[str | Json]) -> list[str | Json]:
    """Return texts and events in their order, with the texts between two events as one."""
    result: list[str | Json] = [""]
    for part in parts:
        if isinstance(part, str) and isinstance(result[-1], str):
            result[-1] += part
        else:
            result += [part, ""]
    return result


def nulls_in(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths at which a JSON value is null; the content of an event is the service's own."""
    match value:
        case None:
            yield path
        case dict():
            for name, part in value.items():
                if name != "event":
                    yield from nulls_in(part, f"{path}.{name}".lstrip("."))
        case list():
            for part in value:
                yield from nulls_in(part, path)


def undeclared_in(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of the fields that OpenAI's types do not declare."""
    match value:
        case openai.BaseModel():
            for name in value.model_extra or {}:
                yield f"{path}.{name}".lstrip(".")
            for name in type(value).model_fields:
                yield from undeclared_in(getattr(value, name), f"{path}.{name}".lstrip("."))
        case list():
            for part in value:
                yield from undeclared_in(part, path)
