"""Whatever a service yields, a response says what a chat completion says, and its events add up to it."""

import json
from functools import cache
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.template.properties.forms import Json, bare
from tests.template.properties.samples import Sample, samples, texts, whole_samples
from tests.template.properties.scripted import MODEL, Manner, Script, Scripted, accumulated, script

manners = st.sampled_from(get_args(Manner))
TEXTS = {
    "output_text": "content",
    "refusal": "refusal",
    "summary_text": "reasoning_content",
}  # and what chats call them


@cache
def events_of_openai() -> TypeAdapter[Any]:
    return TypeAdapter(ResponseStreamEvent)


def response_to(scripted: Scripted, result: object) -> Json:
    """What becomes of a result that does not stream."""
    scripted.result = result
    response = scripted.client.post("/v1/responses", json={"model": MODEL, "input": "Hello!"})
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def events_to(scripted: Scripted, result: object) -> list[Json]:
    """The events that become of a result."""
    scripted.result = result
    response = scripted.client.post("/v1/responses", json={"model": MODEL, "input": "Hello!", "stream": True})
    *frames, rest = response.content.decode().split("\n\n")
    assert rest == ""
    events = []
    for frame in frames:
        name, data = frame.splitlines()
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def said_by_chat(scripted: Scripted, result: object) -> Json:
    """The texts and calls of the one answer that a stream of chunks adds up to."""
    message = accumulated(scripted.chunks(result))["choices"][0]["message"]
    calls = [call["function"] for call in message.get("tool_calls") or []]
    said: Json = bare({**{name: message.get(name) for name in TEXTS.values()}, "calls": calls})
    return said


def said_by_events(events: list[Json]) -> Json:
    """The same, by the deltas of events alone."""
    said: Json = {"calls": []}
    calls: dict[int, Json] = {}
    for event in events:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added" and event["item"]["type"] == "function_call":
            calls[event["output_index"]] = {"name": event["item"]["name"], "arguments": ""}
            said["calls"].append(calls[event["output_index"]])
        elif kind == "function_call_arguments.delta":
            calls[event["output_index"]]["arguments"] += event["delta"]
        elif kind.endswith(".delta"):
            part = {"reasoning_summary_text.delta": "summary_text"}.get(kind, kind.removesuffix(".delta"))
            said[TEXTS[part]] = said.get(TEXTS[part], "") + event["delta"]
    bared: Json = bare(said)
    return bared


def said_by_response(response: Json) -> Json:
    """The same, by the items of a response."""
    said: Json = {"calls": []}
    for item in response["output"]:
        if item["type"] == "function_call":
            said["calls"].append({"name": item["name"], "arguments": item["arguments"]})
        for part in [*item.get("content", []), *item.get("summary", [])]:
            name = TEXTS[part["type"]]
            said[name] = said.get(name, "") + (part.get("text") or part.get("refusal") or "")
    bared: Json = bare(said)
    return bared


def comparable(response: Json) -> Json:
    """A response without what differs each time."""
    text = json.dumps({**response, "created_at": 0, "completed_at": 0}).replace(response["id"].partition("_")[2], "")
    same: Json = json.loads(text)
    for item in same["output"]:
        item.pop("call_id", None)  # which is made where a source gives none
    return same


@given(said=samples(), manner=manners)
def test_the_events_say_what_the_chunks_of_a_chat_say(scripted: Scripted, said: list[Sample], manner: Manner) -> None:
    events = events_to(scripted, script(said, manner))
    assert said_by_events(events) == said_by_response(events[-1]["response"])
    assert said_by_events(events) == said_by_chat(scripted, script(said, manner))


@given(said=samples(), manner=manners)
def test_a_response_is_the_same_streamed_and_whole(scripted: Scripted, said: list[Sample], manner: Manner) -> None:
    last = events_to(scripted, script(said, manner))[-1]["response"]
    assert comparable(last) == comparable(response_to(scripted, script(said, manner)))


@given(said=whole_samples())
def test_a_completion_that_is_returned_is_a_response_too(scripted: Scripted, said: Sample) -> None:
    last = events_to(scripted, said.item)[-1]["response"]
    assert comparable(last) == comparable(response_to(scripted, said.item))
    assert said_by_response(last) == said_by_chat(scripted, said.item)


@given(said=samples(), manner=manners)
def test_each_event_is_numbered_and_of_openais_type(scripted: Scripted, said: list[Sample], manner: Manner) -> None:
    events = events_to(scripted, script(said, manner))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        if event["type"] != "custom:event":
            events_of_openai().validate_python(event, strict=True)


@given(said=samples(), manner=manners)
def test_each_item_is_added_once_and_done_once_and_in_the_output_as_it_was_done(
    scripted: Scripted, said: list[Sample], manner: Manner
) -> None:
    events = events_to(scripted, script(said, manner))
    added = [event for event in events if event["type"] == "response.output_item.added"]
    done = {event["output_index"]: event["item"] for event in events if event["type"] == "response.output_item.done"}
    output = events[-1]["response"]["output"]
    assert [event["output_index"] for event in added] == list(range(len(output)))
    assert [event["item"]["id"] for event in added] == [item["id"] for item in output]
    assert [done[index] for index in range(len(output))] == output
    assert len(done) == len(output)


@given(said=samples(), manner=manners, message=texts)
def test_an_error_fails_the_response_after_all_that_came_before(
    scripted: Scripted, said: list[Sample], manner: Manner, message: str
) -> None:
    events = events_to(scripted, Script(["first", *(sample.item for sample in said)], manner, RuntimeError(message)))
    failed = events[-1]
    events_of_openai().validate_python(failed, strict=True)
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"]["code"] == "server_error"
    assert said_by_events(events) == said_by_response(failed["response"])
