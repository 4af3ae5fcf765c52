"""The models that the project ships with."""

import json
from typing import Any

import pytest
from litestar.testing import TestClient

from app.app import create_app
from app.settings import Settings
from schemas.chat import Json
from tests.conftest import Client, ask, chunks_of, message_of, streamed_text
from tests.template.conftest import deltas_of, finish_reason_of

TOOL: Json = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PARTS = [{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "there"}]


@pytest.fixture
def client() -> Any:
    with TestClient(create_app(settings=Settings())) as client:
        yield client


@pytest.mark.parametrize("model", ["echo", "echo-stream"])
@pytest.mark.parametrize(
    ("content", "text"), [("Hello there!", "Hello there!"), (PARTS, "Hello there"), ("", ""), (None, ""), ([], "")]
)
def test_an_echo_repeats_the_last_message(client: Client, model: str, content: object, text: str) -> None:
    assert message_of(ask(client, content, model=model))["content"] == text
    assert streamed_text(ask(client, content, model=model, stream=True)) == text


def test_the_streaming_echo_sends_words_and_its_usage(client: Client) -> None:
    response = ask(client, "a b c", model="echo-stream", stream=True, stream_options={"include_usage": True})

    assert deltas_of(response) == [{"content": "a"}, {"content": " b"}, {"content": " c"}]
    assert chunks_of(response)[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


def test_the_tools_model_asks_for_a_tool_and_uses_its_result(client: Client) -> None:
    question: Json = {"role": "user", "content": "Paris?"}

    asked = ask(client, model="tools", messages=[question], tools=[TOOL])
    call = message_of(asked)["tool_calls"][0]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "18 degrees"}
    answered = ask(client, model="tools", messages=[question, message_of(asked), result], tools=[TOOL])

    assert finish_reason_of(asked) == "tool_calls"
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("weather", {"city": "Paris?"})
    assert message_of(answered)["content"] == "The tool says: 18 degrees"


@pytest.mark.parametrize("fields", [{}, {"tools": None}, {"tools": []}])
def test_the_tools_model_says_so_if_there_is_none(client: Client, fields: Json) -> None:
    assert "Give me a tool" in message_of(ask(client, model="tools", **fields))["content"]


def test_the_reasoning_model_thinks_before_it_answers(client: Client) -> None:
    message = message_of(ask(client, model="reasoning"))

    assert message["content"] == "You wrote 6 characters."
    assert message["reasoning_content"].startswith("The user wrote 6 characters.")
    first, *_, last = deltas_of(ask(client, model="reasoning", stream=True))
    assert list(first) == ["reasoning_content"]
    assert last == {"content": "You wrote 6 characters."}


def test_the_events_model_tells_how_far_it_has_come(client: Client) -> None:
    chunks = chunks_of(ask(client, "abc", model="events", stream=True))

    assert [chunk["event"]["data"]["done"] for chunk in chunks if "event" in chunk] == [False, True]
    assert message_of(ask(client, "abc", model="events"))["content"] == "cba"
