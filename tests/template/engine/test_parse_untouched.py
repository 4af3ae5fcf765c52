"""What is right, or not declared, reaches the service as it was sent."""

import json
from typing import Any

import msgspec
import pytest

from app.services import Body, Messages
from schemas.chat import Json
from tests.conftest import Client, Serve, ask, message_of, returning
from tests.factories import ChatCompletionRequestFactory

BODY: Json = {"model": "test", "messages": [{"role": "user", "content": "Hello!"}]}


@pytest.fixture
def client(serve: Serve) -> Client:
    return serve(returning("Hello!"))


UNTOUCHED: dict[str, Json] = {
    "undeclared fields": {"top_k": 40, "provider": {"order": ["a", None]}, "": {}, "x" * 1000: 1.5, "extra": {"a": 1}},
    "fields named like our own": {"self": 1, "cls": 2, "dict": {}, "to_body": 3, "include_usage": 4, "__dict__": {}},
    "messages": {
        "messages": [
            {"role": "developer", "content": "a", "name": "b"},
            {"role": "critic", "mood": {"gay": True}},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}, {"type": "new"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "function": {"name": 1}}]},
            {"role": "tool", "content": "", "tool_call_id": "a"},
        ]
    },
    "keys of a tool": {"tools": [{"type": "function", "function": {"name": "f", "strict": None}, "mine": 1}]},
    "keys of an option": {"stream_options": {"include_usage": False, "include_obfuscation": False}},
    "numbers": {"mine": [0, -1, 2**53, 2**63, 2**70, 0.1, 1e-300, 1e300, -0.0], "temperature": 1, "seed": -(2**62)},
    "texts": {"mine": "\u2028\x00\x85é🎉", "user": ""},
    "colons": {"mine": {":": ":", "a:b": "::"}, "user": ":"},
}  # fmt: skip


@pytest.mark.parametrize("fields", UNTOUCHED.values(), ids=UNTOUCHED)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_is_right_or_not_declared_passes_untouched(serve: Serve, fields: Json, ascii_only: bool) -> None:
    seen: list[tuple[Messages, Body]] = []

    def complete(model: str, messages: Messages, body: Body) -> str:
        seen.append((messages, body))
        return "Hello!"

    content = json.dumps(BODY | fields, ensure_ascii=ascii_only).encode()
    response = serve(complete).post("/v1/chat/completions", content=content)

    assert response.status_code == 200, response.text
    ((messages, body),) = seen
    assert json.dumps(body) == json.dumps(json.loads(content))
    assert messages == json.loads(content)["messages"]


def test_every_optional_parameter_may_be_null(serve: Serve) -> None:
    seen: list[Body] = []
    optional = dict.fromkeys(ChatCompletionRequestFactory.build().__struct_fields__[2:])

    def complete(model: str, messages: Messages, body: Body) -> str:
        seen.append(body)
        return "Hello!"

    response = ask(serve(complete), **optional)

    assert response.status_code == 200
    assert seen == [BODY | optional]


@pytest.mark.parametrize(
    "message", [{"role": "user"}, {"role": "user", "content": None}, {"role": "user", "content": ""}]
)
def test_a_message_may_be_without_content(serve: Serve, message: Json) -> None:
    client = serve(lambda model, messages, body: repr(messages))

    assert message_of(ask(client, messages=[message]))["content"] == repr([message])


def test_any_valid_request_is_taken(client: Client) -> None:
    for request in ChatCompletionRequestFactory.batch(20, model="test", stream=False):
        body: Any = msgspec.to_builtins(request)

        assert client.post("/v1/chat/completions", json=body).status_code == 200, body
