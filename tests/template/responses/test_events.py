"""Whatever a service yields, a response says what a chat completion says, in OpenAI's events."""

import json
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import CompletionError
from schemas.chat import Delta, Json
from tests.conftest import SERVER_ERROR, Serve, returning, yielding
from tests.template.chat.samples import Sample, any_text, bare, samples, whole_samples
from tests.template.chat.scripted import WAYS, Scripted, Way, accumulated, played
from tests.template.responses.events import OWN_EVENT, create, events_of, respond, short

ways = st.sampled_from(WAYS)
results = st.one_of(
    st.builds(lambda said, way: partial(played, said, way), samples(), ways),
    whole_samples().map(lambda said: lambda: said.item),
)
REASONING = {"type": "reasoning_text", "text": "Hm."}  # a part of a reasoning item
CHAT_NAMES = {"output_text": "content", "refusal": "refusal", REASONING["type"]: "reasoning_content"}


def said_by_chat(scripted: Scripted, result: object) -> Json:
    """Return the texts, calls and tokens that the chunks of a chat add up to."""
    chat = accumulated(scripted.chunks(result, include_usage=True))
    message = chat["choices"][0]["message"]
    calls = [call["function"] for call in message.get("tool_calls") or []]
    tokens = [chat["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    said: Json = bare({**{name: message.get(name) for name in CHAT_NAMES.values()}, "calls": calls, "tokens": tokens})
    return said


def said_by(response: Json) -> Json:
    """Return the same, by the items of a response."""
    tokens = [response["usage"][name] for name in ("input_tokens", "output_tokens", "total_tokens")]
    said: Json = dict.fromkeys(CHAT_NAMES.values(), "") | {"calls": [], "tokens": tokens}
    for item in response["output"]:
        if item["type"] == "function_call":
            said["calls"].append({"name": item["name"], "arguments": item["arguments"]})
        for part in [*item.get("content", [])]:
            said[CHAT_NAMES[part["type"]]] += part.get("text") or part.get("refusal") or ""
    held: Json = bare(said)
    return held


def comparable(response: Json) -> Json:
    """Return a response without what differs each time."""
    text = json.dumps({**response, "created_at": 0, "completed_at": 0}).replace(response["id"].partition("_")[2], "")
    same: Json = json.loads(text)
    for item in same["output"]:
        item.pop("call_id", None)  # which is made where a source gives none
    return same


@given(result=results)
def test_the_events_say_what_the_whole_response_and_a_chat_say(
    scripted: Scripted, result: Callable[[], object]
) -> None:
    scripted.result = result()
    last = events_of(scripted.client)[-1]["response"]
    scripted.result = result()
    assert comparable(last) == comparable(respond(scripted.client))
    assert said_by(last) == said_by_chat(scripted, result())


@given(said=samples(), way=ways, message=any_text)
def test_an_error_fails_the_response_after_all_that_came_before(
    scripted: Scripted, said: list[Sample], way: Way, message: str
) -> None:
    scripted.result = way("first", *(sample.item for sample in said), RuntimeError(message))
    failed = events_of(scripted.client)[-1]
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"] == {"code": "server_error", "message": SERVER_ERROR}
    assert said_by(failed["response"])["content"].startswith("first")


def delta(**fields: object) -> Json:
    return {"choices": [{"delta": fields}]}


def call(index: int, type: str = "function", *, id: str | None = None, **called: str) -> Json:
    return delta(tool_calls=[{"index": index, "id": id, "type": type, type: called}])


TEXT = "output_item.added content_part.added output_text.delta output_text.done content_part.done output_item.done"
THINKING = (
    "output_item.added content_part.added reasoning_text.delta reasoning_text.delta "
    "reasoning_text.done content_part.done output_item.done"
)
CALL = "output_item.added function_call_arguments.delta function_call_arguments.done output_item.done"
CALLS = (  # two, of which the second waits until the arguments of the first are whole
    "output_item.added function_call_arguments.delta function_call_arguments.delta "
    "function_call_arguments.done output_item.done output_item.added function_call_arguments.delta "
    "function_call_arguments.delta function_call_arguments.done output_item.done"
)
ITEMS: dict[str, tuple[list[object], str, list[Json]]] = {
    "nothing": ([], "", []),
    "half of a surrogate pair": (["\udfff"], TEXT, [{"type": "message", "role": "assistant", "content": ["\ufffd"]}]),
    "reasoning before the text": (
        [Delta(reasoning_content="H"), Delta(reasoning_content="m."), "Hi"],
        f"{THINKING} {TEXT}",
        [{"type": "reasoning", "content": [REASONING]}, {"type": "message", "content": ["Hi"]}],
    ),
    "reasoning in two fields is told once": (
        [delta(reasoning_content=piece, reasoning=piece) for piece in ("H", "m.")],
        THINKING,
        [{"type": "reasoning", "content": [REASONING]}],
    ),
    "interleaved calls": (
        [
            *(call(index, id=f"call_{index}", name="f", arguments="[") for index in (0, 1)),
            *(call(index, arguments=f"{index}]") for index in (0, 1)),
        ],
        CALLS,
        [{"type": "function_call", "call_id": f"call_{index}", "arguments": f"[{index}]"} for index in (0, 1)],
    ),
    "a call that is named after it has begun": (
        [call(0, id="call_1"), call(0, name="f", arguments="{}")],
        CALL,
        [{"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}],
    ),
    "a custom call": (
        [call(0, "custom", id="call_1", name="patch", input="+"), call(0, "custom", input=" a")],
        CALL.replace(
            "function_call_arguments.delta", "custom_tool_call_input.delta custom_tool_call_input.delta"
        ).replace("function_call_arguments", "custom_tool_call_input"),
        [{"type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": "+ a"}],
    ),
}


@pytest.mark.parametrize(("items", "types", "output"), ITEMS.values(), ids=ITEMS)
def test_an_item_of_the_output_has_its_events_in_order(
    serve: Serve, items: list[object], types: str, output: list[Json]
) -> None:
    client = serve(yielding(*items))
    events = events_of(client)

    assert short(events) == types
    for response in (events[-1]["response"], respond(client)):
        assert response["status"] == "completed"
        assert {item["status"] for item in response["output"]} <= {"completed"}
        for item, expected in zip(response["output"], output, strict=True):
            if expected["type"] == "message":
                item["content"] = [part["text"] for part in item["content"]]
            assert item | expected == item


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
    ("status", "code"), [(429, "rate_limit_exceeded"), (400, "invalid_prompt"), (503, "server_error")]
)
def test_an_error_for_the_client_is_told_in_the_middle(serve: Serve, status: int, code: str) -> None:
    failed = events_of(serve(yielding("one", CompletionError("Mine.", status=status))))[-1]["response"]

    assert (failed["error"], failed["output"][0]["status"]) == ({"code": code, "message": "Mine."}, "incomplete")


def test_an_event_of_a_service_keeps_its_place_and_is_no_item(serve: Serve) -> None:
    class Status:
        def to_event_dict(self) -> Json:
            return {"type": "status"}

    events = events_of(serve(yielding(Status(), "Hi")))

    assert (short(events), events[2]["event"]) == (f"{OWN_EVENT} {TEXT}", {"type": "status"})


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}, (3, 1, 2, 5)),
        ({"prompt_tokens": "5", "completion_tokens": 2, "completion_tokens_details": [1]}, (0, 0, 2, 2)),
        ([1], (0, 0, 0, 0)),
    ],
    ids=["numbers", "wrong types", "a list"],
)
def test_usage_has_the_names_of_a_response(serve: Serve, usage: object, tokens: tuple[int, int, int, int]) -> None:
    client = serve(yielding("Hi", {"choices": [], "usage": usage}))

    for response in (respond(client), events_of(client)[-1]["response"]):
        assert response["usage"] == {
            "input_tokens": tokens[0],
            "input_tokens_details": {"cached_tokens": tokens[1], "cache_write_tokens": 0},
            "output_tokens": tokens[2],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": tokens[3],
        }


FUNCTION = {"type": "function", "name": "f"}
SENT: Json = {
    "temperature": 0.5,
    "metadata": {"a": "b"},
    "tools": [{**FUNCTION, "description": "F.", "parameters": {}, "strict": False}, {"type": "web_search"}],
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "truncation": "auto",
    "max_tool_calls": 3,
    "safety_identifier": "me",
    "prompt_cache_key": "k",
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
    "top_logprobs": 2,
    "service_tier": "flex",
    "store": False,
}
UNSENT: Json = {
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "top_logprobs": 0,
    "service_tier": "default",
    "reasoning": {"effort": None, "summary": None},
    "truncation": "disabled",
    **dict.fromkeys(("max_tool_calls", "safety_identifier", "prompt_cache_key", "max_output_tokens", "instructions")),
    "tools": [{**FUNCTION, "description": None, "parameters": None, "strict": None}],
}


def spoiling(model: str, messages: list[Json], body: Json) -> str:
    """Change what the service was given."""
    body.get("metadata", {}).clear()
    return "Hi"


@pytest.mark.parametrize(
    ("sent", "echo"), [(SENT, SENT), ({"tools": [FUNCTION], "service_tier": "auto"}, UNSENT)], ids=["sent", "defaults"]
)
def test_a_response_repeats_the_parameters_that_it_was_asked_with(serve: Serve, sent: Json, echo: Json) -> None:
    client = serve(spoiling)
    events = events_of(client, **sent)

    for response in (respond(client, **sent), events[0]["response"], events[-1]["response"]):
        assert response["id"].startswith("resp_")
        assert response | echo == response


def test_reasoning_is_summarized_if_the_request_asks_for_it(serve: Serve) -> None:
    client = serve(yielding(Delta(reasoning_content="Hm."), "Hi"))
    events = events_of(client, reasoning={"summary": "auto"})

    assert short(events[:-6]) == (
        "output_item.added content_part.added reasoning_text.delta "
        "reasoning_summary_part.added reasoning_summary_text.delta reasoning_text.done content_part.done "
        "reasoning_summary_text.done reasoning_summary_part.done output_item.done"
    )
    for response in (respond(client, reasoning={"summary": "auto"}), events[-1]["response"]):
        reasoning = response["output"][0]
        assert (reasoning["content"], reasoning["summary"]) == ([REASONING], [{"type": "summary_text", "text": "Hm."}])


def test_what_begins_within_a_call_waits_for_its_end(serve: Serve) -> None:
    first, rest = call(0, id="a", name="f", arguments="{"), call(0, arguments="}")
    events = events_of(serve(yielding(first, "Text", call(1, "custom", id="b", name="p"), rest)))

    types = [item["type"] for item in events[-1]["response"]["output"]]
    assert types == ["function_call", "message", "custom_tool_call"]
    done = next(event for event in events if event["type"] == "response.function_call_arguments.done")
    assert (done["name"], done["arguments"]) == ("f", "{}")


def test_what_waits_when_the_response_fails_is_told(serve: Serve) -> None:
    items = [call(0, id="a", name="f", arguments="{"), "Text", RuntimeError()]
    failed = events_of(serve(yielding(*items)))[-1]["response"]
    assert [item["status"] for item in failed["output"]] == ["incomplete", "incomplete"]
    assert failed["output"][1]["content"][0]["text"] == "Text"


def test_what_comes_for_a_call_after_its_whole_arguments_reaches_them(serve: Serve) -> None:
    calls = [call(index, id=f"call_{index}", name="f", arguments="{}") for index in (0, 1)]
    client = serve(yielding(*calls, call(0, arguments="\n"), call(0, arguments='{"a": 1}')))
    frames = create(client, stream=True).text.split("\n\n")[:-2]
    events = [json.loads(frame.partition("data: ")[2]) for frame in frames]

    assert [event["item"]["arguments"] for event in events if event["type"] == "response.output_item.done"] == [
        "{}",
        '{}{"a": 1}',
        "{}",
    ]
    for response in (events[-1]["response"], respond(client)):
        assert [item["arguments"] for item in response["output"]] == ['{}{"a": 1}', "{}"]


CITED: Json = {"type": "url_citation", "start_index": 0, "end_index": 2, "title": "T", "url": "https://example.com"}
LOGPROB: Json = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}


LOGPROBS: Json = {"include": ["message.output_text.logprobs"]}
NESTED = delta(
    annotations=[{"type": "url_citation", "url_citation": {name: CITED[name] for name in CITED if name != "type"}}]
)
TOLD: Json = {"choices": [{"delta": {"content": "Hi"}, "logprobs": {"content": [LOGPROB]}}]}
LATE = {"choices": [{"delta": {}, "logprobs": {"content": [LOGPROB]}}]}
HALF, REST = call(0, id="a", name="f", arguments="{"), call(0, arguments="}")


@pytest.mark.parametrize(
    ("items", "deltas"),
    [
        ([TOLD, NESTED], [[LOGPROB]]),
        ([NESTED, TOLD], [[LOGPROB]]),
        (["Hi", LATE, NESTED], [[], [LOGPROB]]),
        ([HALF, TOLD, NESTED, REST], [[LOGPROB]]),
        ([HALF, "Hi", NESTED, LATE], [[], [LOGPROB]]),
    ],
    ids=["with the text", "before it", "after it", "while it waits", "until the end"],
)
def test_annotations_and_log_probabilities_of_a_chat_are_those_of_its_text(
    serve: Serve, items: list[object], deltas: list[list[Json]]
) -> None:
    client = serve(yielding(*items))
    events = events_of(client, **LOGPROBS)

    added = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    assert [(event["annotation_index"], event["annotation"]) for event in added] == [(0, CITED)]
    assert [event["logprobs"] for event in events if "output_text.d" in event["type"]] == [*deltas, [LOGPROB]]
    for response in (events[-1]["response"], respond(client, **LOGPROBS)):
        part = response["output"][-1]["content"][0]
        assert part | {"text": "Hi", "annotations": [CITED], "logprobs": [LOGPROB]} == part
    assert respond(client)["output"][-1]["content"][0]["logprobs"] == []


def test_a_content_that_is_a_list_of_parts_is_its_texts(serve: Serve) -> None:
    parts = [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}, {"type": "refusal", "refusal": "No."}, 5]
    (message,) = events_of(serve(yielding(delta(content=parts))))[-1]["response"]["output"]
    assert [part.get("text") or part["refusal"] for part in message["content"]] == ["Hi", "No."]


def test_a_call_of_a_function_in_a_namespace_names_it(serve: Serve) -> None:
    client = serve(yielding(call(0, id="a", name="f", arguments="{}")))
    tools = [{"type": "namespace", "name": "crm", "description": "C.", "tools": [FUNCTION]}]
    assert respond(client, tools=tools)["output"][0]["namespace"] == "crm"
