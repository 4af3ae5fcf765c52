"""Every model keeps OpenAI's contract: register a model in `app/pipelines.py`, and it is tested here.

A registered model is asked its `prompt` (`@pipelines.model(name, prompt=…)` sets it) by real clients of a real
server, whole and as a stream. It is asked once for each kind of answer; each test holds an answer to one rule.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import httpx
import pytest
from openai import OpenAI
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from app.pipelines import pipelines
from app.registry import RegisteredModel

Json: TypeAlias = dict[str, Any]

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
SECONDS = 60.0  # that a model may take to answer
KEY = "sk-of-the-tests"
ENVIRONMENT = os.environ | {  # whatever it says of who may ask, and how often
    "API_KEYS": KEY,
    "API_KEYS_FILE": "",
    "REQUESTS_PER_MINUTE": "",
    "ALLOWED_HOSTS": "",
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Asked:
    """A model and its answers to its prompt, each of which is asked for when a test first needs it."""

    def __init__(self, registered: RegisteredModel, client: httpx.Client) -> None:
        self.name = registered.model.id
        self.client = client
        self.request: Json = {"model": self.name, "messages": [{"role": "user", "content": registered.prompt}]}

    def __str__(self) -> str:
        return f"The model {self.name!r}"

    @cached_property
    def whole(self) -> httpx.Response:
        return self.ask()

    @cached_property
    def stream(self) -> httpx.Response:
        return self.ask(stream=True)

    @cached_property
    def stream_with_usage(self) -> httpx.Response:
        return self.ask(stream=True, stream_options={"include_usage": True})

    @cached_property
    def response(self) -> httpx.Response:
        return self.respond()

    @cached_property
    def events(self) -> list[Json]:
        *frames, rest = self.respond(stream=True).content.decode("utf-8").split("\n\n")
        assert rest == "", f"{self} ends its events with a whole frame"
        return [json.loads(frame.rpartition("data: ")[2]) for frame in frames if not frame.startswith(":")]

    def respond(self, **fields: object) -> httpx.Response:
        prompt = self.request["messages"][0]["content"]
        response = self.client.post("/responses", json={"model": self.name, "input": prompt, "store": False} | fields)
        assert response.status_code == 200, f"{self} failed to respond to its prompt: {response.text}"
        return response

    def ask(self, **fields: object) -> httpx.Response:
        response = self.client.post("/chat/completions", json=self.request | fields)
        assert response.status_code == 200, f"{self} failed to answer its prompt: {response.text}"
        return response

    def accumulated(self) -> Json:
        """The completion that OpenAI's client makes of a stream."""
        options: Any = {"include_usage": True}
        with (
            OpenAI(base_url=str(self.client.base_url), api_key=KEY, timeout=SECONDS, max_retries=0) as openai,
            openai.chat.completions.stream(**self.request, stream_options=options) as stream,
        ):
            return stream.until_done().current_completion_snapshot.to_dict()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server that is started the way a person starts it."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "litestar", "run", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=Path(__file__).parents[1], env=ENVIRONMENT, stdout=output, stderr=output
        )
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", headers=headers, timeout=SECONDS) as client:
        try:
            wait_for(client, process, log)
            yield client
        finally:
            process.terminate()
            process.wait(timeout=10)


@pytest.fixture(scope="module")
def offered(client: httpx.Client) -> set[str]:
    """The models that the server offers by its settings."""
    return {model["id"] for model in client.get("/models").json()["data"]}


@pytest.fixture(scope="module", params=pipelines.models.values(), ids=list(pipelines.models))
def asked(request: pytest.FixtureRequest, client: httpx.Client, offered: set[str]) -> Asked:
    asked = Asked(request.param, client)
    if asked.name not in offered:
        pytest.skip(f"{asked} is not offered by the settings of this server")
    return asked


def test_the_model_is_listed_and_can_be_retrieved(asked: Asked) -> None:
    listed = asked.client.get("/models").json()["data"]
    retrieved = asked.client.get(f"/models/{quote(asked.name)}")
    Model.model_validate_json(retrieved.text, strict=True)
    assert retrieved.json() in listed, f"{asked} is retrieved as the list shows it"


def test_the_whole_answer_is_a_completion_of_openais_type(asked: Asked) -> None:
    assert asked.whole.headers["content-type"] == "application/json", f"{asked} answers with JSON"
    completion = ChatCompletion.model_validate_json(asked.whole.text, strict=True)
    assert completion.choices, f"{asked} gives an answer"


def test_the_stream_is_announced_as_one_that_nobody_may_hold_back(asked: Asked) -> None:
    expected = {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
    }
    assert expected.items() <= dict(asked.stream.headers).items(), f"{asked} streams with these headers"


def test_the_stream_ends_with_done_and_says_it_once(asked: Asked) -> None:
    *data, last = data_of(asked.stream, asked)
    assert last == "[DONE]", f"{asked} ends its stream with [DONE]"
    assert "[DONE]" not in data, f"{asked} says [DONE] once"


def test_every_chunk_is_of_openais_type(asked: Asked) -> None:
    for chunk in chunks_of(asked.stream, asked):
        ChatCompletionChunk.model_validate_json(json.dumps(chunk), strict=True)


def test_all_chunks_share_one_id_created_and_model(asked: Asked) -> None:
    heads = {(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks_of(asked.stream, asked)}
    assert len(heads) == 1, f"{asked} gives its chunks one id, created and model"


def test_the_role_comes_once_and_first(asked: Asked) -> None:
    for first, *others in answers_of(asked.stream, asked):
        assert first["delta"] == {"role": "assistant", "content": ""}, f"{asked} starts with the role"
        assert not [choice for choice in others if "role" in choice["delta"]], f"{asked} names the role once"


def test_the_finish_reason_comes_once_and_last(asked: Asked) -> None:
    for *others, last in answers_of(asked.stream, asked):
        assert last["finish_reason"], f"{asked} says in the end why it stops"
        assert last["delta"] == {}, f"{asked} says nothing else beside its finish reason"
        assert not [choice for choice in others if choice["finish_reason"]], f"{asked} stops once"


def test_tool_calls_are_counted_from_0_and_named_once(asked: Asked) -> None:
    for answer in answers_of(asked.ask(stream=True, tools=[WEATHER]), asked):
        known = 0
        for call in [call for choice in answer for call in choice["delta"].get("tool_calls", [])]:
            assert call["index"] <= known, f"{asked} counts its tool calls from 0, in their order"
            names = {*call, *call["function"]} & {"id", "type", "name"}
            expected = {"id", "type", "name"} if call["index"] == known else set()
            assert names == expected, f"{asked} names a tool call where it begins, and only there"
            known = max(known, call["index"] + 1)


def test_usage_is_in_no_chunk_unless_it_is_asked_for(asked: Asked) -> None:
    assert not [chunk for chunk in chunks_of(asked.stream, asked) if "usage" in chunk], f"{asked} was not asked for it"


def test_usage_comes_in_a_last_chunk_of_its_own(asked: Asked) -> None:
    *chunks, last = chunks_of(asked.stream_with_usage, asked)
    if "usage" in asked.whole.json():
        assert last["usage"], f"{asked} reports its usage in the stream as in the whole answer"
        assert last["choices"] == [], f"{asked} reports its usage in a chunk of its own"
    else:
        assert last["usage"] is None, f"{asked} reports no usage in the whole answer"
    assert all(chunk["usage"] is None for chunk in chunks), f"{asked} reports its usage in the last chunk only"


def test_the_stream_adds_up_to_the_whole_answer(asked: Asked) -> None:
    whole = said_by(asked.whole.json())
    if whole != said_by(asked.ask().json()):
        pytest.skip(f"{asked} answers differently each time")
    assert said_by(asked.accumulated()) == whole, f"{asked} says the same in both modes"


def test_the_response_is_of_openais_type(asked: Asked) -> None:
    response = Response.model_validate_json(asked.response.text, strict=True)
    assert response.status in ("completed", "incomplete"), f"{asked} responds to its end"


def test_every_event_is_numbered_and_of_openais_type(asked: Asked) -> None:
    numbers = [event["sequence_number"] for event in asked.events]
    assert numbers == list(range(len(numbers))), f"{asked} numbers its events"
    for event in asked.events:
        if event["type"] != "custom:event":
            EVENTS.validate_json(json.dumps(event), strict=True)


def test_the_events_begin_and_end_with_the_response(asked: Asked) -> None:
    first, *_, last = asked.events
    assert first["type"] == "response.created", f"{asked} begins with the response"
    assert last["type"] in ("response.completed", "response.incomplete"), f"{asked} ends with the response"
    assert first["response"]["id"] == last["response"]["id"], f"{asked} makes one response"


def test_the_deltas_of_the_events_add_up_to_the_text_of_the_response(asked: Asked) -> None:
    deltas = [event["delta"] for event in asked.events if event["type"] == "response.output_text.delta"]
    response = Response.model_validate(asked.events[-1]["response"])
    assert "".join(deltas) == response.output_text, f"{asked} says the same in its events and at their end"


def test_the_response_says_what_the_whole_answer_says(asked: Asked) -> None:
    text, again = (answer.json()["choices"][0]["message"]["content"] or "" for answer in (asked.whole, asked.ask()))
    if text != again:
        pytest.skip(f"{asked} answers differently each time")
    assert Response.model_validate_json(asked.response.text).output_text == text, f"{asked} says the same by both APIs"


def test_the_server_goes_on_after_a_client_left_in_the_middle(asked: Asked) -> None:
    with asked.client.stream("POST", "/chat/completions", json=asked.request | {"stream": True}) as response:
        next(response.iter_raw())
    assert asked.client.get("/models").status_code == 200, f"{asked} leaves the server at work"


def wait_for(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            client.get("/models")
        except httpx.ConnectError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"The server did not start:\n{log.read_text()}")


def data_of(stream: httpx.Response, asked: Asked) -> list[str]:
    """What the frames of a stream carry; comments carry nothing."""
    *frames, rest = stream.content.decode("utf-8").split("\n\n")
    frames = [frame for frame in frames if not frame.startswith(":")]
    assert rest == "", f"{asked} ends its stream with a whole frame"
    for frame in frames:
        assert frame.startswith("data: "), f"{asked} sends frames of data"
        assert len(frame.splitlines()) == 1, f"{asked} sends a frame on one line"
    return [frame.removeprefix("data: ") for frame in frames]


def chunks_of(stream: httpx.Response, asked: Asked) -> list[Json]:
    chunks = [json.loads(data) for data in data_of(stream, asked)[:-1]]
    errors = [chunk["error"] for chunk in chunks if "error" in chunk]
    assert not errors, f"{asked} failed in its stream: {errors}"
    return chunks


def answers_of(stream: httpx.Response, asked: Asked) -> list[list[Json]]:
    """What the chunks carry of each answer; there is one, unless the model gives several."""
    answers: defaultdict[int, list[Json]] = defaultdict(list)
    for chunk in chunks_of(stream, asked):
        for choice in chunk["choices"]:
            answers[choice["index"]].append(choice)
    assert answers, f"{asked} gives an answer"
    return list(answers.values())


def said_by(completion: Json) -> Json:
    """The messages, finish reasons and usage of a completion, without ids and what is empty."""
    choices = [{name: choice[name] for name in ("message", "finish_reason")} for choice in completion["choices"]]
    said: Json = _bare({"choices": choices, "usage": completion.get("usage")})
    return said


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        parts = {name: _bare(part) for name, part in value.items() if name not in ("id", "index")}
        return {name: part for name, part in parts.items() if part not in (None, "", [], {})}
    return [_bare(part) for part in value] if isinstance(value, list) else value
