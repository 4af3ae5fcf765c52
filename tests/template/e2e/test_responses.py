"""OpenAI's own client, by its Responses API: each event is of the type that its package says."""

import json
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from openai.types.responses import (
    FunctionToolParam,
    ResponseFunctionToolCall,
    ResponseInputParam,
    ResponseOutputMessage,
    ResponseReasoningItem,
    ResponseStreamEvent,
)
from pydantic import BaseModel, TypeAdapter

from tests.template.e2e.answering import AWKWARD
from tests.template.e2e.failing import SECRET
from tests.template.e2e.patience import PATIENCE
from tests.template.e2e.server import Server

QUESTION = "What is the weather in Paris?"
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


class Weather(BaseModel):
    city: str
    temperature: int


WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": pydantic_function_tool(Weather)["function"]["parameters"],
    "strict": True,
}


def ask_gated(key: str) -> dict[str, object]:
    return {"model": "late-async-generator", "input": key, "stream": True}


def events_of(http: httpx.Client, model: str, **fields: object) -> list[Any]:
    """The events of a stream, each held to its type."""
    body = {"model": model, "input": "Hello!", "stream": True, **fields}
    response = http.post("/v1/responses", json=body)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *frames, rest = response.text.split("\n\n")
    assert rest == ""
    events = []
    for position, frame in enumerate(frames):
        name, data = frame.split("\n")
        event = EVENTS.validate_json(data.removeprefix("data: "), strict=True)
        assert name == f"event: {event.type}"
        assert event.sequence_number == position
        events.append(event)
    return events


def test_a_response_is_of_openais_type(http: httpx.Client) -> None:
    response = http.post("/v1/responses", json={"model": "usage", "input": "Hello!"})

    answer = openai.types.responses.Response.model_validate_json(response.text, strict=True)
    assert response.headers["content-type"] == "application/json"
    assert answer.id.startswith("resp_")
    assert (answer.status, answer.output_text, answer.model) == ("completed", "Hello, world", "usage")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (3, 2, 5)


@pytest.mark.parametrize("path", ["/v1/responses", "/responses", "/v1//responses"])
def test_a_response_is_made_at_each_path(http: httpx.Client, path: str) -> None:
    assert http.post(path, json={"model": "function", "input": "Hello!"}).json()["object"] == "response"


def test_the_events_of_a_text_come_in_openais_order(http: httpx.Client) -> None:
    events = events_of(http, "generator")

    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    message = events[-1].response.output[0]
    assert {event.item_id for event in events if hasattr(event, "item_id")} == {message.id}
    assert {event.response.id for event in events if hasattr(event, "response")} == {events[0].response.id}


def test_the_events_of_reasoning_come_before_those_of_the_text(shipped: Server) -> None:
    with httpx.Client(base_url=shipped.url) as http:
        events = events_of(http, "reasoning")

    assert [event.type.removeprefix("response.") for event in events[2:9]] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    thought, said = events[-1].response.output
    assert isinstance(thought, ResponseReasoningItem)
    assert thought.summary[0].text.startswith("The user wrote")
    assert isinstance(said, ResponseOutputMessage)


def test_the_events_of_interleaved_calls_are_told_apart(http: httpx.Client) -> None:
    events = events_of(http, "two-calls")

    deltas = [event for event in events if event.type == "response.function_call_arguments.delta"]
    assert [event.output_index for event in deltas] == [0, 1, 0, 1]
    calls = events[-1].response.output
    assert [(call.call_id, call.name, call.arguments, call.status) for call in calls] == [
        ("call_a", "first", '{"x": 1}', "completed"),
        ("call_b", "second", '{"x": 1}', "completed"),
    ]


@pytest.mark.parametrize("model", ["function", "generator", "async-generator", "awkward", "nothing", "two-calls"])
def test_what_streams_is_what_does_not(http: httpx.Client, model: str) -> None:
    whole = openai.types.responses.Response.model_validate(
        http.post("/v1/responses", json={"model": model, "input": "Hello!"}).json()
    )
    streamed = events_of(http, model)[-1].response

    def said(response: openai.types.responses.Response) -> str:
        return str(response.output).replace(response.id.removeprefix("resp_"), "")

    assert said(whole) == said(streamed)


def test_any_text_passes(client: OpenAI) -> None:
    stream = client.responses.create(model="awkward", input="Hello!", stream=True)
    text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    assert text == AWKWARD.replace("\udfff", "\ufffd")


@pytest.mark.anyio
async def test_the_async_client_reads_it_too(async_client: AsyncOpenAI) -> None:
    async with async_client.responses.stream(model="async-generator", input="Hello!") as stream:
        snapshots = [event.snapshot async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()

    assert snapshots == ["Hello", "Hello, world"]
    assert final.output_text == "Hello, world"


def test_a_text_is_parsed_by_the_schema_that_was_asked_for(client: OpenAI) -> None:
    parsed = client.responses.parse(model="weather", input=QUESTION, text_format=Weather)
    with client.responses.stream(model="weather", input=QUESTION, text_format=Weather) as stream:
        streamed = stream.get_final_response()

    assert parsed.output_parsed == streamed.output_parsed == Weather(city="Paris", temperature=21)


def test_a_tool_is_asked_for_and_its_result_used_by_the_previous_response(shipped_client: OpenAI) -> None:
    first = shipped_client.responses.create(model="tools", input=QUESTION, tools=[WEATHER])
    (call,) = first.output
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.name, call.call_id[:5]) == ("get_weather", "call_")
    output: ResponseInputParam = [{"type": "function_call_output", "call_id": call.call_id, "output": "Rain."}]

    second = shipped_client.responses.create(model="tools", previous_response_id=first.id, input=output)

    assert second.previous_response_id == first.id
    assert second.output_text == "The tool says: Rain."
    items = [item.type for item in shipped_client.responses.input_items.list(second.id, order="asc")]
    assert items == ["message", "function_call", "function_call_output"]


def test_a_tool_is_asked_for_in_a_stream_and_its_result_used_by_what_was_sent_again(shipped_client: OpenAI) -> None:
    conversation: list[Any] = [{"role": "user", "content": QUESTION}]
    with shipped_client.responses.stream(model="tools", input=conversation, tools=[WEATHER], store=False) as stream:
        events = list(stream)
        first = stream.get_final_response()
    done = [event.arguments for event in events if event.type == "response.function_call_arguments.done"]
    (call,) = first.output
    assert isinstance(call, ResponseFunctionToolCall)
    assert [json.loads(arguments) for arguments in done] == [{"city": QUESTION, "temperature": QUESTION}]

    conversation += [item.to_dict() for item in first.output]
    conversation.append({"type": "function_call_output", "call_id": call.call_id, "output": "Rain."})
    second = shipped_client.responses.create(model="tools", input=conversation, store=False)

    assert second.output_text == "The tool says: Rain."


def test_what_chat_completions_call_length_is_incomplete(http: httpx.Client) -> None:
    events = events_of(http, "extras")

    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "max_output_tokens"
    assert [item.status for item in events[-1].response.output] == ["incomplete"]


def test_an_event_of_a_service_breaks_no_client(shipped_client: OpenAI) -> None:
    with shipped_client.responses.stream(model="events", input="abc") as stream:
        events: list[Any] = list(stream)
        final = stream.get_final_response()

    own = [event.event["type"] for event in events if event.type == "custom:event"]
    assert own == ["status", "status"]
    assert final.output_text == "cba"
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_before_the_first_item_is_one_of_http(client: OpenAI, stream: bool) -> None:
    wanted = {"message": "Too long.", "status": 400, "code": "context_length_exceeded", "param": "input"}
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="refuse-before", input=json.dumps(wanted), stream=stream)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")


def test_an_error_in_the_middle_fails_the_response_and_keeps_its_secrets(http: httpx.Client) -> None:
    events = events_of(http, "crash-after")

    failed = events[-1]
    assert failed.type == "response.failed"
    assert (failed.response.status, failed.response.error.code) == ("failed", "server_error")
    assert SECRET not in str(events)
    assert failed.response.output_text == "one two"


def test_an_error_that_a_service_means_for_the_client_is_told_in_the_middle(client: OpenAI) -> None:
    wanted = json.dumps({"message": "Too many.", "status": 429})
    *_, failed = client.responses.create(model="refuse-after", input=wanted, stream=True)
    assert failed.type == "response.failed"
    assert failed.response.error is not None
    assert (failed.response.error.code, failed.response.error.message) == ("rate_limit_exceeded", "Too many.")


def test_a_model_that_is_not_there_is_a_404(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="nope", input="Hello!")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize("model", ["endless-async-generator", "endless-generator"])
def test_a_generator_is_closed_when_its_client_leaves(server: Server, client: OpenAI, key: str, model: str) -> None:
    with client.responses.create(model=model, input=key, stream=True) as stream:
        next(iter(stream))

    assert server.wait_for(key, "closed") == ["started", "closed"]


def test_a_silent_stream_sends_comments_that_clients_skip(talkative: Server, key: str) -> None:
    with httpx.stream("POST", f"{talkative.url}/v1/responses", json=ask_gated(key), timeout=PATIENCE) as response:
        received = response.iter_text()
        assert next(received) == ": keep-alive\n\n"
        talkative.open_gate(key)
        assert "event: response.created" in "".join(received)


def test_a_failure_after_a_comment_is_told_after_the_response_has_begun(talkative: Server, key: str) -> None:
    body = ask_gated(key) | {"model": "late-failure"}
    with httpx.stream("POST", f"{talkative.url}/v1/responses", json=body, timeout=PATIENCE) as response:
        received = response.iter_text()
        assert next(received) == ": keep-alive\n\n"
        talkative.open_gate(key)
        frames = [frame for frame in "".join(received).split("\n\n") if frame.startswith("event")]

    assert [frame.splitlines()[0].removeprefix("event: response.") for frame in frames] == [
        "created",
        "in_progress",
        "failed",
    ]
