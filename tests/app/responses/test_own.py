"""A service that knows the Responses API answers in its words."""

import json
from typing import Any

import pytest
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from schemas.responses import OutputMessage, OutputText, Response
from tests.conftest import SERVER_ERROR, Client, Json, Serve, ask, error_of, returning, yielding

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}}
CITED = {"type": "url_citation", "start_index": 0, "end_index": 2, "title": "T", "url": "https://example.com"}
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [
        {"type": "output_text", "text": "Hi", "annotations": [CITED], "logprobs": []},
        {"type": "refusal", "refusal": "No."},
    ],
}
USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 5,
}
WHOLE: Json = {
    "id": "resp_theirs",
    "object": "response",
    "created_at": 1,
    "model": "theirs",
    "output": [SEARCH, MESSAGE],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": USAGE,
}


def respond(client: Client) -> Json:
    response = client.post("/v1/responses", json={"model": "test", "input": "Hi"})
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def events_of(client: Client) -> list[Json]:
    response = client.post("/v1/responses", json={"model": "test", "input": "Hi", "stream": True})
    *frames, rest = response.text.split("\n\n")
    assert rest == ""
    events = [json.loads(frame.partition("data: ")[2]) for frame in frames]
    for position, event in enumerate(events):
        EVENTS.validate_python(event, strict=True)
        assert event["sequence_number"] == position
    return events


@pytest.mark.parametrize("whole", [WHOLE, OpenAIResponse.model_validate(WHOLE)], ids=["dict", "object"])
@pytest.mark.parametrize("service", [returning, yielding])
def test_a_whole_response_keeps_its_items_and_gets_an_id_that_it_is_kept_by(
    serve: Serve, service: Any, whole: object
) -> None:
    client = serve(service(whole))
    answer, events = respond(client), events_of(client)

    for response in (answer, events[-1]["response"]):
        assert response["id"] != "resp_theirs"
        assert (response["status"], response["usage"]) == ("completed", USAGE)
        assert response["output"][1]["content"][0]["annotations"] == [CITED]
        assert [item["id"] for item in response["output"]] == ["ws_1", "msg_1"]
    assert [event["type"].removeprefix("response.") for event in events[2:-1]] == [
        *("output_item.added", "output_item.done", "output_item.added"),
        *("content_part.added", "output_text.delta", "output_text.done", "content_part.done"),
        *("content_part.added", "refusal.delta", "refusal.done", "content_part.done"),
        "output_item.done",
    ]
    assert {event["output_index"] for event in events if event.get("item_id") == "msg_1"} == {1}


def test_a_struct_of_ours_is_a_whole_response_too(serve: Serve) -> None:
    message = OutputMessage(id="msg_1", status="completed", content=[OutputText(text="Hi")])
    client = serve(returning(Response(id="", created_at=0, model="", output=[message])))
    assert respond(client)["output"][0]["content"][0]["text"] == "Hi"


def test_events_of_its_own_stand_between_texts(serve: Serve) -> None:
    searching = {"type": "response.web_search_call.searching", "item_id": "ws_1", "output_index": 9}
    begun = {**SEARCH, "status": "in_progress"}
    client = serve(
        yielding(
            "One",
            {"type": "response.created", "response": {}},
            {"type": "response.output_item.added", "item": begun, "output_index": 0, "sequence_number": 7},
            EVENTS.validate_python({**searching, "sequence_number": 5}),
            {"type": "response.output_item.done", "item": SEARCH},
            {"type": "response.queued"},
            "Two",
        )
    )
    events = events_of(client)

    assert [event["type"] for event in events].count("response.created") == 1
    own = [event for event in events if event["type"] == "response.web_search_call.searching"]
    assert [event["output_index"] for event in own] == [1]
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "web_search_call", "message"]
    assert output[1] == SEARCH
    assert [item["type"] for item in respond(client)["output"]] == ["message", "web_search_call", "message"]


def test_an_event_that_ends_the_response_says_how(serve: Serve) -> None:
    ended = {"usage": USAGE, "incomplete_details": {"reason": "max_output_tokens"}}
    client = serve(yielding("One", {"type": "response.incomplete", "response": ended}))

    last = events_of(client)[-1]
    assert (last["type"], last["response"]["usage"]) == ("response.incomplete", USAGE)
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert respond(client)["status"] == "incomplete"


def test_an_event_that_fails_the_response_fails_it(serve: Serve) -> None:
    error = {"code": "server_error", "message": "Mine."}
    client = serve(yielding("One", {"type": "response.failed", "response": {"error": error}}))

    assert events_of(client)[-1]["response"]["error"] == error
    refused = client.post("/v1/responses", json={"model": "test", "input": "Hi"})
    assert (refused.status_code, error_of(refused)["message"]) == (500, "Mine.")


def test_a_chat_that_is_answered_with_a_response_is_an_error_of_the_service(serve: Serve) -> None:
    assert error_of(ask(serve(returning(WHOLE))))["message"] == SERVER_ERROR


def test_a_custom_call_of_a_chat_is_one_of_a_response(serve: Serve) -> None:
    def delta(**call: object) -> Json:
        return {"choices": [{"delta": {"tool_calls": [{"index": 0, **call}]}}]}

    client = serve(
        yielding(
            delta(id="call_1", type="custom", custom={"name": "patch", "input": "+"}),
            delta(custom={"input": " a"}),
        )
    )
    (call,) = events_of(client)[-1]["response"]["output"]
    assert (call["type"], call["call_id"], call["name"], call["input"]) == (
        "custom_tool_call",
        "call_1",
        "patch",
        "+ a",
    )


def test_a_call_may_be_named_after_it_has_begun(serve: Serve) -> None:
    calls: list[Json] = [{"index": 0, "id": "call_1"}, {"index": 0, "function": {"name": "f", "arguments": "{}"}}]
    client = serve(yielding(*({"choices": [{"delta": {"tool_calls": [call]}}]} for call in calls)))
    (call,) = respond(client)["output"]
    assert (call["name"], call["arguments"]) == ("f", "{}")


def test_the_client_gets_reasoning_once_though_it_comes_in_two_fields(serve: Serve) -> None:
    client = serve(yielding({"choices": [{"delta": {"reasoning_content": "Hm.", "reasoning": "Hm."}}]}))
    (item,) = respond(client)["output"]
    assert item["summary"] == [{"type": "summary_text", "text": "Hm."}]
