"""Readers of what the Responses API answers, which hold it to OpenAI's types and to itself."""

import json
from typing import Any

import httpx
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from schemas.chat import Json

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
OWN_EVENT = "keepalive"  # the type of an event that a service sends beside its text
TEXTS = ("delta", "text", "refusal", "arguments", "input")  # fields with a text, of events, items and their parts


def create(client: httpx.Client, input: object = "Hi", **fields: object) -> httpx.Response:
    return client.post("/v1/responses", json={"model": "test", "input": input, **fields})


def respond(client: httpx.Client, input: object = "Hi", **fields: object) -> Json:
    """Return a response that does not stream."""
    answer = create(client, input, **fields)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), answer.text
    OpenAIResponse.model_validate_json(answer.content, strict=True)
    response: Json = answer.json()
    return response


def events_of(client: httpx.Client, input: object = "Hi", **fields: object) -> list[Json]:
    """Return the events of a stream: named, numbered, each of OpenAI's type, and of the items of one response."""
    answer = create(client, input, stream=True, **fields)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    return checked(answer)


def checked(answer: httpx.Response) -> list[Json]:
    """Return the events of a stream."""
    *frames, last, rest = answer.content.decode().split("\n\n")
    assert (last, rest) == ("data: [DONE]", "")
    events: list[Json] = []
    for number, frame in enumerate(frames):
        name, data = frame.splitlines()
        events.append(event := json.loads(data.removeprefix("data: ")))
        assert (name, event["sequence_number"]) == (f"event: {event['type']}", number)
        if event["type"] != OWN_EVENT:
            EVENTS.validate_python(event, strict=True)
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1
    _check_items(events, events[-1]["response"])
    return events


def short(events: list[Json]) -> str:
    """Return the types of the events between the first two and the last."""
    return " ".join(event["type"].removeprefix("response.") for event in events[2:-1])


def _check_items(events: list[Json], response: Json) -> None:
    """Check that each item is added once and done once, as it is in the response, and has the text of its deltas."""
    added, done = (
        {event["output_index"]: event["item"] for event in events if event["type"] == f"response.output_item.{step}"}
        for step in ("added", "done")
    )
    output = dict(enumerate(response["output"]))
    assert [(index, item["id"]) for index, item in added.items()] == [(index, output[index]["id"]) for index in output]
    assert sorted(done) == list(output) or response["status"] == "failed"
    assert all(output[index] == item for index, item in done.items())
    steps = [event["type"] for event in events if event["type"].startswith("response.output_item.")]
    is_whole = response["status"] != "failed"
    assert steps == ["response.output_item.added", "response.output_item.done"] * len(output) or not is_whole
    for index, item in output.items():
        text = "".join(_text(part) for part in [item, *(item.get("content") or ())])
        own = [event for event in events if event.get("item_id") == item["id"]]
        assert {event["output_index"] for event in own} <= {index}
        for step in (".delta", ".done") if index in done else (".delta",):
            told = [_text(event) for event in own if event["type"].endswith(step) and "summary" not in event["type"]]
            assert "".join(told) == text or not own  # a service sends items of its own whole


def _text(value: Json) -> str:
    return next((value[name] for name in TEXTS if isinstance(value.get(name), str)), "")
