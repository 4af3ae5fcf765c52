"""Whatever a service yields, a response says what a chat completion says, and its events add up to it."""

import json
from collections.abc import Iterator
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient

from app.errors import CompletionError
from schemas.chat import Delta, Json
from tests.conftest import SERVER_ERROR, Serve, returning, yielding
from tests.template.properties.forms import bare
from tests.template.properties.samples import Sample, samples, texts, whole_samples
from tests.template.properties.scripted import MODEL, Manner, Script, Scripted, accumulated, script, serve
from tests.template.responses.events import OWN_EVENT, events_of, respond, short

bounded = settings(deadline=None, max_examples=60)
manners = st.sampled_from(get_args(Manner))
REASONING = "reasoning_summary_text"  # the events of reasoning
THOUGHT = ("summary", "summary_text")  # the field of a reasoning item, and the type of its parts
CHAT_NAMES = {"output_text": "content", "refusal": "refusal", THOUGHT[1]: "reasoning_content"}


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    """A server, made once, whose model does what each example says."""
    service = Scripted()
    with TestClient(serve(service), raise_server_exceptions=False) as client:
        service.client = client
        yield service


def events_to(scripted: Scripted, result: object) -> list[Json]:
    """Return the events that become of a result."""
    scripted.result = result
    return events_of(scripted.client, model=MODEL)


def response_to(scripted: Scripted, result: object) -> Json:
    """Return the response that becomes of a result."""
    scripted.result = result
    return respond(scripted.client, model=MODEL)


def said_by_chat(scripted: Scripted, result: object) -> Json:
    """Return the texts and calls that the chunks of a chat add up to."""
    message = accumulated(scripted.chunks(result))["choices"][0]["message"]
    calls = [call["function"] for call in message.get("tool_calls") or []]
    said: Json = bare({**{name: message.get(name) for name in CHAT_NAMES.values()}, "calls": calls})
    return said


def said_by_deltas(events: list[Json]) -> Json:
    """Return the same, by the deltas of the events alone."""
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
            name = CHAT_NAMES[kind.removesuffix(".delta").replace(REASONING, THOUGHT[1])]
            said[name] = said.get(name, "") + event["delta"]
    added: Json = bare(said)
    return added


def said_by_items(response: Json) -> Json:
    """Return the same, by the items of a response."""
    said: Json = {"calls": []}
    for item in response["output"]:
        if item["type"] == "function_call":
            said["calls"].append({"name": item["name"], "arguments": item["arguments"]})
        for part in [*item.get("content", []), *item.get("summary", [])]:
            name = CHAT_NAMES[part["type"]]
            said[name] = said.get(name, "") + (part.get("text") or part.get("refusal") or "")
    held: Json = bare(said)
    return held


def comparable(response: Json) -> Json:
    """Return a response without what differs each time."""
    text = json.dumps({**response, "created_at": 0, "completed_at": 0}).replace(response["id"].partition("_")[2], "")
    same: Json = json.loads(text)
    for item in same["output"]:
        item.pop("call_id", None)  # which is made where a source gives none
    return same


def check_items(events: list[Json]) -> None:
    """Check that each item is added once and done once, as it stands in the output, and is named by its events."""
    added = [event for event in events if event["type"] == "response.output_item.added"]
    done = [event for event in events if event["type"] == "response.output_item.done"]
    output = events[-1]["response"]["output"]
    assert [event["output_index"] for event in added] == list(range(len(output)))
    assert [event["item"]["id"] for event in added] == [item["id"] for item in output]
    assert [event["item"] for event in sorted(done, key=lambda event: event["output_index"])] == output
    for event in events:
        if "item_id" in event:
            assert output[event["output_index"]]["id"] == event["item_id"]


@bounded
@given(said=samples(), manner=manners)
def test_the_events_say_what_the_whole_response_and_a_chat_say(
    scripted: Scripted, said: list[Sample], manner: Manner
) -> None:
    events = events_to(scripted, script(said, manner))
    last = events[-1]["response"]
    check_items(events)
    assert said_by_deltas(events) == said_by_items(last) == said_by_chat(scripted, script(said, manner))
    assert comparable(last) == comparable(response_to(scripted, script(said, manner)))


@bounded
@given(said=whole_samples())
def test_a_completion_that_is_returned_is_a_response_too(scripted: Scripted, said: Sample) -> None:
    events = events_to(scripted, said.item)
    last = events[-1]["response"]
    check_items(events)
    assert said_by_deltas(events) == said_by_items(last) == said_by_chat(scripted, said.item)
    assert comparable(last) == comparable(response_to(scripted, said.item))


@bounded
@given(said=samples(), manner=manners, message=texts)
def test_an_error_fails_the_response_after_all_that_came_before(
    scripted: Scripted, said: list[Sample], manner: Manner, message: str
) -> None:
    events = events_to(scripted, Script(["first", *(sample.item for sample in said)], manner, RuntimeError(message)))
    failed = events[-1]
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"] == {"code": "server_error", "message": SERVER_ERROR}
    assert said_by_deltas(events) == said_by_items(failed["response"])


def delta(**fields: object) -> Json:
    return {"choices": [{"delta": fields}]}


def call(index: int, **fields: object) -> Json:
    return delta(tool_calls=[{"index": index, **fields}])


MESSAGE = [
    *("output_item.added", "content_part.added", "output_text.delta", "output_text.done"),
    *("content_part.done", "output_item.done"),
]
THINKING = [
    *("output_item.added", "reasoning_summary_part.added", f"{REASONING}.delta", f"{REASONING}.delta"),
    *(f"{REASONING}.done", "reasoning_summary_part.done", "output_item.done"),
]
FUNCTION = "function_call_arguments"
CUSTOM = "custom_tool_call_input"


@pytest.mark.parametrize(
    ("items", "types", "output"),
    [
        pytest.param([], [], [], id="nothing"),
        pytest.param(
            [Delta(reasoning_content="H"), Delta(reasoning_content="m."), "Hi"],
            [*THINKING, *MESSAGE],
            [{THOUGHT[0]: [{"type": THOUGHT[1], "text": "Hm."}]}, {"role": "assistant"}],
            id="reasoning before the text",
        ),
        pytest.param(
            [delta(reasoning_content="H", reasoning="H"), delta(reasoning_content="m.", reasoning="m.")],
            THINKING,
            [{"type": "reasoning", THOUGHT[0]: [{"type": THOUGHT[1], "text": "Hm."}]}],
            id="reasoning in two fields is told once",
        ),
        pytest.param(
            [
                *(call(index, id=f"call_{index}", function={"name": "f", "arguments": "["}) for index in (0, 1)),
                *(call(index, function={"arguments": f"{index}]"}) for index in (0, 1)),
            ],
            [
                *("output_item.added", f"{FUNCTION}.delta", "output_item.added", f"{FUNCTION}.delta"),
                *(f"{FUNCTION}.delta", f"{FUNCTION}.delta"),
                *(f"{FUNCTION}.done", "output_item.done", f"{FUNCTION}.done", "output_item.done"),
            ],
            [
                {"type": "function_call", "call_id": "call_0", "name": "f", "arguments": "[0]"},
                {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "[1]"},
            ],
            id="interleaved calls",
        ),
        pytest.param(
            [call(0, id="call_1"), call(0, function={"name": "f", "arguments": "{}"})],
            ["output_item.added", f"{FUNCTION}.delta", f"{FUNCTION}.done", "output_item.done"],
            [{"call_id": "call_1", "name": "f", "arguments": "{}"}],
            id="a call that is named after it has begun",
        ),
        pytest.param(
            [
                call(0, id="call_1", type="custom", custom={"name": "patch", "input": "+"}),
                call(0, custom={"input": " a"}),
            ],
            ["output_item.added", f"{CUSTOM}.delta", f"{CUSTOM}.delta", f"{CUSTOM}.done", "output_item.done"],
            [{"type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": "+ a"}],
            id="a custom call",
        ),
        pytest.param(
            ["\udfff"],
            MESSAGE,
            [{"content": [{"type": "output_text", "text": "\ufffd", "annotations": [], "logprobs": []}]}],
            id="half a surrogate pair",
        ),
        pytest.param(
            ["Hi", {"choices": [], "usage": {"prompt_tokens": "5", "completion_tokens_details": [1]}}],
            MESSAGE,
            [{"role": "assistant"}],
            id="usage with a wrong type in it",
        ),
        pytest.param(["Hi", {"choices": [], "usage": [1]}], MESSAGE, [{"role": "assistant"}], id="usage as a list"),
    ],
)
def test_an_item_of_the_output_has_its_events_in_order(
    serve: Serve, items: list[object], types: list[str], output: list[Json]
) -> None:
    client = serve(yielding(*items))
    events = events_of(client)

    check_items(events)
    assert short(events) == " ".join(types)
    for response in (events[-1]["response"], respond(client)):
        assert response["status"] == "completed"
        assert [
            {name: item[name] for name in wanted} for item, wanted in zip(response["output"], output, strict=True)
        ] == output
        assert {item["status"] for item in response["output"]} <= {"completed"}


@pytest.mark.parametrize(
    ("finish_reason", "status", "reason"),
    [
        ("stop", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_the_finish_reason_is_the_status(serve: Serve, finish_reason: str, status: str, reason: str | None) -> None:
    choices = [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": finish_reason}]
    client = serve(returning({"choices": choices}))
    last = events_of(client)[-1]

    assert last["type"] == f"response.{status}"
    for response in (last["response"], respond(client)):
        assert (response["status"], response["output"][0]["status"]) == (status, status)
        assert response["incomplete_details"] == (reason and {"reason": reason})
        assert (response["completed_at"] is None) == (status == "incomplete")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CompletionError("Mine.", status=429), "rate_limit_exceeded"),
        (CompletionError("Mine.", status=400), "invalid_prompt"),
        (CompletionError("Mine.", status=503), "server_error"),
    ],
    ids=["429", "400", "503"],
)
def test_an_error_that_a_service_means_for_the_client_is_told_in_the_middle(
    serve: Serve, error: CompletionError, code: str
) -> None:
    failed = events_of(serve(yielding("one", error)))[-1]["response"]

    assert (failed["error"], failed["output"][0]["status"]) == ({"code": code, "message": "Mine."}, "incomplete")


def test_an_event_of_a_service_keeps_its_place_and_is_no_item(serve: Serve) -> None:
    class Status:
        def to_event_dict(self) -> Json:
            return {"type": "status"}

    events = events_of(serve(yielding(Status(), "Hi")))

    assert short(events) == " ".join([OWN_EVENT, *MESSAGE])
    assert events[2]["event"] == {"type": "status"}


def test_usage_and_parameters_are_in_the_response(serve: Serve) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
    sent: Json = {
        "temperature": 0.5,
        "metadata": {"a": "b"},
        "tools": [{"type": "function", "name": "f"}],
        "store": False,
    }
    client = serve(yielding("Hi", {"choices": [], "usage": usage}))

    for response in (respond(client, **sent), events_of(client, **sent)[-1]["response"]):
        assert response["id"].startswith("resp_")
        assert {name: response[name] for name in sent} == sent
        assert response["text"] == {"format": {"type": "text"}}
        assert response["usage"] == {
            "input_tokens": 3,
            "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
            "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 5,
        }
