"""Pack `responses`: the Responses API, by the models that answer chats."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import APIError, NotFoundError, OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from app.services import Body, Messages
from schemas.chat import Usage
from tests.conftest import SERVER_ERROR, Asked, Serve, openai_of, yielding

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
OWN_EVENTS = ("custom:event", "keepalive")  # events of a model
ORDER = (
    "created in_progress output_item.added content_part.added output_text.delta output_text.delta "
    "output_text.done content_part.done output_item.done completed"
)


def events_of(openai: OpenAI, **request: Any) -> list[Any]:
    """Return the events of a streamed response, checked against OpenAI's types and numbered without a gap."""
    events = [event.to_dict() for event in openai.responses.create(stream=True, **request)]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return [EVENTS.validate_json(json.dumps(event), strict=True) for event in events if event["type"] not in OWN_EVENTS]


def numbers(model: str, messages: Messages, body: Body) -> Iterator[str | Usage]:
    """Yield how many messages there are."""
    yield "messages: "
    yield str(len(messages))
    yield Usage(prompt_tokens=3, completion_tokens=2)


def test_each_model_responds_in_openais_types_with_the_same_text_in_both_modes(asked: Asked) -> None:
    asked.skip_if_failing()
    request: Any = {"model": asked.name, "input": asked.prompt, "store": False}
    openai = openai_of(asked.client)

    whole = openai.responses.with_raw_response.create(**request)
    response = Response.model_validate_json(whole.text, strict=True)
    first, *events, last = events_of(openai, **request)

    assert response.status in ("completed", "incomplete")
    assert (first.type, last.type) == ("response.created", f"response.{last.response.status}")
    assert first.response.id == last.response.id
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == Response.model_validate(last.response.to_dict()).output_text


def test_the_events_of_a_text_come_in_the_order_of_openai(serve: Serve) -> None:
    events = events_of(openai_of(serve(numbers)), model="test", input="Hello!")

    assert [event.type.removeprefix("response.") for event in events] == ORDER.split()
    assert events[-1].response.usage.total_tokens == 5


def test_a_conversation_goes_on_from_a_response_that_is_kept(serve: Serve) -> None:
    openai = openai_of(serve(numbers))

    with pytest.raises(NotFoundError):
        openai.responses.retrieve(openai.responses.create(model="test", input="Zero", store=False).id)
    first = openai.responses.create(model="test", input="One", instructions="Be brief.")
    second = openai.responses.create(model="test", input="Two", previous_response_id=first.id)

    assert (first.output_text, second.output_text) == ("messages: 2", "messages: 3")
    assert openai.responses.retrieve(second.id).output_text == "messages: 3"
    assert len(openai.responses.input_items.list(second.id).data) == 3


def test_an_error_has_the_form_of_openai_before_the_stream_and_an_event_in_it(serve: Serve) -> None:
    client = serve(yielding("Hello", ValueError("secret")))
    wrong = client.post("/v1/responses", json={"model": "test", "input": 1})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "input")
    with pytest.raises(APIError, match=SERVER_ERROR):
        events_of(openai_of(client), model="test", input="Hello!")
    failed = client.post("/v1/responses", json={"model": "test", "input": "Hello!", "stream": True})
    assert failed.text.split("\n\n")[-3].startswith("event: response.failed")
    assert "secret" not in failed.text
