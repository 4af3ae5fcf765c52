"""Every model keeps OpenAI's contract: register a model in `app/pipelines.py`, and it is tested here.

Each registered model is asked its `prompt` (`@pipelines.model(name, prompt=…)` sets it) by real clients of a real
server, whole and as a stream. Each kind of answer is requested once, and each test checks one rule. A model registered
with `conformance=False` is left out.
"""

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from schemas.chat import Json
from tests.conftest import Asked, openai_of

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}


def test_the_model_is_listed_and_can_be_retrieved(asked: Asked) -> None:
    listed = asked.client.get("/models").json()["data"]
    retrieved = asked.client.get(f"/models/{quote(asked.name)}")
    Model.model_validate_json(retrieved.text, strict=True)
    assert retrieved.json() in listed, f"{asked} is retrieved as the list shows it"


def test_the_whole_answer_is_a_completion_of_openais_type(asked: Asked) -> None:
    assert asked.whole.headers["content-type"] == "application/json", f"{asked} answers with JSON"
    completion = ChatCompletion.model_validate_json(asked.whole.text, strict=True)
    assert completion.choices, f"{asked} gives an answer"


def test_the_headers_of_the_stream_keep_proxies_from_buffering_it(asked: Asked) -> None:
    headers = [asked.stream.headers.get(name) for name in ("content-type", "cache-control", "x-accel-buffering")]
    assert headers == ["text/event-stream; charset=utf-8", "no-cache", "no"], f"{asked} streams with these headers"


def test_the_stream_ends_with_done_and_has_it_once(asked: Asked) -> None:
    *data, last = data_of(asked.stream, asked)
    assert (last, "[DONE]" in data) == ("[DONE]", False), f"{asked} ends its stream with [DONE], and sends it once"


def test_every_chunk_is_of_openais_type_and_shares_one_id_created_and_model(asked: Asked) -> None:
    chunks = chunks_of(asked.stream, asked)
    for chunk in chunks:
        ChatCompletionChunk.model_validate_json(json.dumps(chunk), strict=True)
    heads = {(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}
    assert len(heads) == 1, f"{asked} gives its chunks one id, created and model"


def test_the_role_comes_once_and_first_and_the_finish_reason_once_and_last(asked: Asked) -> None:
    for first, *others, last in answers_of(asked.stream, asked):
        assert first["delta"] == {"role": "assistant", "content": ""}, f"{asked} starts with the role"
        assert not [choice for choice in others if "role" in choice["delta"]], f"{asked} names the role once"
        assert last["finish_reason"], f"{asked} ends with the reason why it stops"
        assert last["delta"] == {}, f"{asked} sends nothing else beside its finish reason"
        assert not [choice for choice in (first, *others) if choice["finish_reason"]], f"{asked} stops once"


def test_tool_calls_are_counted_from_0_and_named_once(asked: Asked) -> None:
    for answer in answers_of(asked.ask("stream with tools", stream=True, tools=[WEATHER]), asked):
        known = 0
        for call in [call for choice in answer for call in choice["delta"].get("tool_calls", [])]:
            assert call["index"] <= known, f"{asked} counts its tool calls from 0, in their order"
            names = {*call, *call["function"]} & {"id", "type", "name"}
            expected = {"id", "type", "name"} if call["index"] == known else set()
            assert names == expected, f"{asked} names a tool call where it begins, and only there"
            known = max(known, call["index"] + 1)


def test_usage_comes_in_a_last_chunk_of_its_own_if_it_is_asked_for(asked: Asked) -> None:
    assert not [chunk for chunk in chunks_of(asked.stream, asked) if "usage" in chunk], f"{asked} was not asked for it"
    *chunks, last = chunks_of(asked.stream_with_usage, asked)
    if "usage" in asked.whole.json():
        assert last["usage"], f"{asked} reports its usage in the stream as in the whole answer"
        assert last["choices"] == [], f"{asked} reports its usage in a chunk of its own"
    else:
        assert last["usage"] is None, f"{asked} reports no usage in the whole answer"
    assert all(chunk["usage"] is None for chunk in chunks), f"{asked} reports its usage in the last chunk only"


def test_the_stream_adds_up_to_the_whole_answer(asked: Asked) -> None:
    whole, accumulated = meaning_of(asked.whole.json()), meaning_of(accumulated_of(asked.stream_with_usage, asked))
    if accumulated != whole and meaning_of(asked.ask("whole again").json()) != whole:
        pytest.skip(f"{asked} answers differently each time")
    assert accumulated == whole, f"{asked} says the same in both modes"


def test_the_server_goes_on_after_a_client_left_in_the_middle(asked: Asked) -> None:
    asked.skip_if_failing()
    with asked.client.stream("POST", "/chat/completions", json=asked.request | {"stream": True}) as response:
        next(response.iter_raw())
    assert asked.client.get("/models").status_code == 200, f"{asked} leaves the server at work"


def data_of(stream: httpx.Response, asked: Asked) -> list[str]:
    """Return the data of the frames of a stream, without comments."""
    *frames, rest = stream.content.decode("utf-8").split("\n\n")
    frames = [frame for frame in frames if not frame.startswith(":")]
    assert rest == "", f"{asked} ends its stream with a whole frame"
    assert all(frame.startswith("data: ") for frame in frames), f"{asked} sends frames of data"
    assert all(len(frame.splitlines()) == 1 for frame in frames), f"{asked} sends a frame on one line"
    return [frame.removeprefix("data: ") for frame in frames]


def chunks_of(stream: httpx.Response, asked: Asked) -> list[Json]:
    return [json.loads(data) for data in data_of(stream, asked)[:-1]]


def answers_of(stream: httpx.Response, asked: Asked) -> list[list[Json]]:
    """Return the choices of all chunks, answer by answer; there is one, unless the model gives several."""
    choices = [choice for chunk in chunks_of(stream, asked) for choice in chunk["choices"]]
    assert choices, f"{asked} gives an answer"
    indexes = sorted({choice["index"] for choice in choices})
    return [[choice for choice in choices if choice["index"] == index] for index in indexes]


def accumulated_of(stream: httpx.Response, asked: Asked) -> Json:
    """Return the completion that OpenAI's client makes of the chunks."""
    replayed = httpx.MockTransport(lambda _: httpx.Response(200, headers=stream.headers, content=stream.content))
    request: Any = asked.request | {"stream_options": {"include_usage": True}}
    with httpx.Client(base_url=asked.client.base_url, transport=replayed) as client:
        stream_again = openai_of(client).chat.completions.stream(**request)
        with stream_again as events:
            return events.until_done().current_completion_snapshot.to_dict()


def meaning_of(completion: Json) -> list[object]:
    """Return what a completion says: texts, reasoning, calls and finish reasons, and the usage; without ids."""
    meaning: list[object] = [completion.get("usage")]
    for choice in completion["choices"]:
        message = choice["message"]
        texts = [message.get(name) or "" for name in ("content", "refusal", "reasoning_content", "reasoning")]
        calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or []]
        meaning += [texts, calls, choice["finish_reason"]]
    return meaning
