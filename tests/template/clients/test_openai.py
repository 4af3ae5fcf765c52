"""OpenAI's own client: what `client.responses` makes of responses; `tests/template/e2e` has its other methods."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import ResponseTextDoneEvent
from pydantic import BaseModel

from tests.template.clients.serving import ANSWER, TOKEN
from tests.template.e2e.server import Server

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": CITY, "strict": False}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[OpenAI]:
    with server.openai() as client:
        yield client


class Weather(BaseModel):
    city: str
    temperature: int


def test_a_text_is_parsed_by_the_schema_that_was_asked_for(client: OpenAI) -> None:
    parsed = client.responses.parse(model="formats", input="Hello!", text_format=Weather)
    with client.responses.stream(model="formats", input="Hello!", text_format=Weather) as stream:
        assert (
            stream.get_final_response().output_parsed == parsed.output_parsed == Weather(city="Paris", temperature=21)
        )


@pytest.mark.parametrize("store", [True, False])
def test_tools_are_called_in_a_stream_and_their_outputs_are_used(client: OpenAI, store: bool) -> None:
    with client.responses.stream(model="calls", input="Hello!", tools=[WEATHER], store=store) as stream:
        done = [event.arguments for event in stream if event.type == "response.function_call_arguments.done"]
        first = stream.get_final_response()
    calls: list[Any] = [item for item in first.output if item.type == "function_call"]
    assert [call.arguments for call in calls] == done == ['{"city": "Paris"}', '{"city": "Rome"}']

    outputs = [f"Rain in {json.loads(call.arguments)['city']}." for call in calls]
    sent: list[Any] = [
        {"type": "function_call_output", "call_id": call.call_id, "output": output}
        for call, output in zip(calls, outputs, strict=True)
    ]
    previous: Any = {"previous_response_id": first.id} if store else {}
    history: list[Any] = (
        [] if store else [{"role": "user", "content": "Hello!"}, *(item.to_dict() for item in first.output)]
    )
    second = client.responses.create(model="calls", input=[*history, *sent], store=store, **previous)
    assert (second.output_text, second.previous_response_id) == (" ".join(outputs), first.id if store else None)


def test_log_probabilities_come_when_they_are_asked_for(client: OpenAI) -> None:
    with client.responses.stream(model="weighs", input="Hello!", include=["message.output_text.logprobs"]) as stream:
        told = [event.logprobs for event in stream if isinstance(event, ResponseTextDoneEvent)]
        final: Any = stream.get_final_response()
    weighed = [*told[0], *final.output[0].content[0].logprobs]
    assert [logprob.logprob for logprob in weighed] == [TOKEN["logprob"]] * 2


@pytest.mark.parametrize("model", ["text", "calls", "breaks"])
def test_a_kept_response_is_read_replayed_listed_and_deleted(client: OpenAI, model: str) -> None:
    told: list[Any] = []
    fails = pytest.raises(openai.APIError, match="The index broke") if model == "breaks" else nullcontext()
    with fails, client.responses.create(model=model, input="Hello!", tools=[WEATHER], stream=True) as stream:
        told.extend(stream)
    made = client.responses.retrieve(told[0].response.id)
    assert model == "breaks" or told[-1].response == made
    for start in (-1, 1):
        with client.responses.retrieve(made.id, stream=True, starting_after=start) as replay:
            again: list[Any] = list(replay)
        assert [again[0].sequence_number, again[-1].response] == [start + 1, made]
    (item,) = client.responses.input_items.list(made.id)
    assert item.type == "message"
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_a_conversation_is_compacted_and_goes_on(client: OpenAI) -> None:
    first = client.responses.create(model="text", input="Hello!")
    compacted: Any = client.responses.compact(model="text", previous_response_id=first.id)
    assert compacted.output[-1].type == "compaction"
    kept = compacted.to_dict(warnings=False)["output"]  # its types know no message of a user in an output
    again = client.responses.create(model="text", input=[*kept, {"role": "user", "content": "Go on."}])
    assert again.output_text == ANSWER
