"""A service that answers with the Responses API's own objects: a whole response, or its events."""

import json
from typing import Any

import pytest
from msgspec import convert
from openai.types.responses import Response as OpenAIResponse

from schemas.chat import Json
from schemas.responses import FunctionToolCall, OutputMessage, OutputText, Response, ResponseUsage
from tests.conftest import SERVER_ERROR, Serve, ask, error_of, returning, yielding
from tests.template.responses.events import EVENTS, create, events_of, respond, short

SEARCH: Json = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search", "query": "x"},
}
CITED = {"type": "url_citation", "start_index": 0, "end_index": 2, "title": "T", "url": "https://example.com"}
TEXT = {"type": "output_text", "text": "Hi", "annotations": [CITED], "logprobs": []}
MESSAGE: Json = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
MESSAGE |= {"content": [TEXT, {"type": "refusal", "refusal": "No."}]}
USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 5,
}
WHOLE: Json = {"id": "resp_theirs", "object": "response", "created_at": 1, "model": "theirs", "usage": USAGE}
WHOLE |= {"output": [SEARCH, MESSAGE], "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}


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
        assert response["output"] == [SEARCH, MESSAGE]
    assert short(events) == (
        "output_item.added output_item.done output_item.added "
        "content_part.added output_text.delta output_text.annotation.added output_text.done content_part.done "
        "content_part.added refusal.delta refusal.done content_part.done output_item.done"
    )


def test_a_response_of_the_schemas_is_a_whole_response_too(serve: Serve) -> None:
    call = FunctionToolCall(call_id="call_1", name="f", arguments="{}")
    ours = Response(output=[OutputMessage(content=[OutputText(text="Hi")]), call], usage=convert(USAGE, ResponseUsage))
    client = serve(returning(ours))

    for response in (respond(client), events_of(client)[-1]["response"]):
        message, called = response["output"]
        assert (message["content"][0]["text"], called["call_id"]) == ("Hi", "call_1")
        assert (message["status"], called["status"], response["status"]) == ("completed",) * 3
        assert (message["id"][:4], called["id"][:3]) == ("msg_", "fc_")
        assert response["usage"] == USAGE


def test_items_that_come_without_an_id_get_ids(serve: Serve) -> None:
    calls = [{"type": "function_call", "call_id": name, "name": name, "arguments": "{}"} for name in ("f", "g")]
    for whole in ({**WHOLE, "output": calls}, OpenAIResponse.model_validate({**WHOLE, "output": calls})):
        output = respond(serve(returning(whole)))["output"]
        assert [call["name"] for call in output] == ["f", "g"]
        assert len({call["id"] for call in output}) == 2


def test_events_of_the_service_stand_between_texts(serve: Serve) -> None:
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
    for response in (events[-1]["response"], respond(client)):
        assert [item["type"] for item in response["output"]] == ["message", "web_search_call", "message"]
        assert response["output"][1] == SEARCH


def test_an_event_that_ends_the_response_says_how(serve: Serve) -> None:
    ended = {"usage": USAGE, "incomplete_details": {"reason": "max_output_tokens"}}
    client = serve(yielding("One", {"type": "response.incomplete", "response": ended}))

    for response in (respond(client), events_of(client)[-1]["response"]):
        assert (response["status"], response["usage"]) == ("incomplete", USAGE)
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}


ERROR = {"type": "error", "code": "overloaded", "message": "Mine.", "param": None, "sequence_number": 3}
FAILED = {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "Mine."}}}
UNKNOWN = "The model failed to respond."


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (ERROR, "Mine."),
        (EVENTS.validate_python(ERROR), "Mine."),
        (FAILED, "Mine."),
        ({"type": "response.failed", "response": {}}, UNKNOWN),
        ({"type": "response.cancelled"}, UNKNOWN),
    ],
    ids=["error", "object", "failed", "no error", "cancelled"],
)
def test_every_event_of_a_failure_fails_the_response(serve: Serve, event: object, message: str) -> None:
    client = serve(yielding("One", event))
    last, refused = events_of(client)[-1], create(client)

    assert (last["type"], refused.status_code) == ("response.failed", 500)
    assert last["response"]["error"] == {"code": "server_error", "message": message}
    assert last["response"]["output"][0]["content"][0]["text"] == "One"
    assert error_of(refused)["message"] == message


UNSENDABLE = {"item": {**SEARCH, "action": object()}, "part": {"type": "output_text", "text": object()}}


@pytest.mark.parametrize(("event", "field"), [("output_item.done", "item"), ("content_part.added", "part")])
def test_an_item_that_cannot_be_sent_fails_the_response(serve: Serve, event: str, field: str) -> None:
    told = {"type": f"response.{event}", "item_id": "msg_1", "content_index": 0, field: UNSENDABLE[field]}

    assert events_of(serve(yielding("One", ADDED, told)))[-1]["response"]["error"]["message"] == SERVER_ERROR


@pytest.mark.parametrize("answer", [WHOLE, {"type": "response.output_text.delta", "delta": "Hi"}, ERROR])
def test_a_chat_that_is_answered_with_a_response_is_an_error_of_the_service(serve: Serve, answer: Json) -> None:
    assert error_of(ask(serve(yielding(answer))))["message"] == SERVER_ERROR


def test_a_response_goes_on_from_an_item_that_a_chat_has_no_message_for(serve: Serve) -> None:
    listed = {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []}
    client = serve(yielding({"type": "response.output_item.done", "item": listed}, "Hi"))

    assert respond(client, previous_response_id=respond(client)["id"])["output"]


ADDED = {"type": "response.output_item.added", "item": {**MESSAGE, "status": "in_progress", "content": []}}
DELTA = {"type": "response.output_text.delta", "item_id": "msg_1", "content_index": 0, "delta": "Hi"}
TOLD = {**DELTA, "type": "response.output_text.done", "text": "Hi"}


def test_an_item_that_the_service_does_not_end_is_ended_with_what_its_events_told(serve: Serve) -> None:
    client = serve(yielding(ADDED, DELTA, TOLD, "more"))
    events = events_of(client)
    first, second = events[-1]["response"]["output"]

    assert short(events).startswith(
        "output_item.added output_text.delta output_text.done output_item.done output_item.added"
    )
    assert (first["content"][0]["text"], first["status"], second["content"][0]["text"]) == ("Hi", "completed", "more")


@pytest.mark.parametrize(
    ("before", "output"),
    [
        ((), [SEARCH, MESSAGE]),
        (({"type": "response.output_item.done", "item": SEARCH},), [SEARCH, MESSAGE]),
    ],
    ids=["nothing before it", "an item before it"],
)
def test_the_event_that_completes_a_response_supplies_its_output(
    serve: Serve, before: tuple[Json, ...], output: list[Json]
) -> None:
    client = serve(yielding(*before, {"type": "response.completed", "response": WHOLE}))
    for response in (respond(client), events_of(client)[-1]["response"]):
        assert response["output"] == output


def test_the_event_that_completes_a_response_ends_an_item_that_has_not_ended(serve: Serve) -> None:
    ended = {**MESSAGE, "content": [TEXT]}
    client = serve(yielding(ADDED, DELTA, {"type": "response.completed", "response": {**WHOLE, "output": [ended]}}))
    assert events_of(client)[-1]["response"]["output"] == respond(client)["output"] == [ended]


@pytest.mark.parametrize(
    ("late", "text"), [(DELTA, "HiHi"), ({**TOLD, "text": "Bye"}, "Bye"), ({**DELTA, "delta": " "}, "Hi")]
)
def test_what_comes_for_an_item_after_its_end_reaches_it(serve: Serve, late: Json, text: str) -> None:
    done = {"type": "response.output_item.done", "item": {**MESSAGE, "content": [TEXT]}}
    client = serve(yielding(done, late))
    last = json.loads(create(client, stream=True).text.split("\n\n")[-3].partition("data: ")[2])
    for response in (last["response"], respond(client)):
        assert [part["text"] for part in response["output"][0]["content"]] == [text]


def test_the_output_that_completes_a_response_is_not_told_twice(serve: Serve) -> None:
    client = serve(yielding("Hi", {"type": "response.completed", "response": WHOLE}))
    assert len(respond(client)["output"]) == 1


def test_items_of_the_service_that_interleave_are_told_one_after_another(serve: Serve) -> None:
    searching = {"type": "response.output_item.added", "item": {**SEARCH, "status": "in_progress"}}
    part = {"type": "response.content_part.added", "item_id": "msg_1", "content_index": 0}
    part["part"] = {**TEXT, "text": "", "annotations": []}
    cited = {"type": "response.output_text.annotation.added", "item_id": "msg_1", "content_index": 0}
    found = {"type": "response.output_item.done", "item": SEARCH}
    client = serve(yielding(searching, ADDED, part, DELTA, cited | {"annotation": CITED}, found))
    events = events_of(client)

    assert short(events) == (
        "output_item.added output_item.done output_item.added content_part.added output_text.delta "
        "output_text.annotation.added output_text.done content_part.done output_item.done"
    )
    for response in (events[-1]["response"], respond(client)):
        assert response["output"][0] == SEARCH
        assert response["output"][1]["content"] == [{**TEXT, "annotations": [CITED]}]


def test_an_event_that_only_says_that_the_response_is_complete_is_told_once(serve: Serve) -> None:
    events = events_of(serve(yielding("Hi", {"type": "response.completed"})))
    assert [event["type"] for event in events].count("response.completed") == 1
