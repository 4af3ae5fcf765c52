"""Fields of requests: a wrong one is named in a 400, and what is accepted reaches the service as it was sent."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from litestar import post
from litestar.params import JSONBody
from litestar.testing import TestClient
from msgspec import UNSET, Struct

from app.app import create_app
from app.pipelines import pipelines
from app.services import Hooks
from app.settings import Settings
from schemas.chat import ChatCompletionRequest, Json
from tests.conftest import Client, Serve, ask, chunks_of, error_of, message_of, returning
from tests.template.chat.scripted import Scripted
from tests.template.conftest import error_object
from tests.template.mutations import json_values, mutations_of

MESSAGE: Json = {"role": "user", "content": "Hello!"}
BODY: Json = {"model": "test", "messages": [MESSAGE]}
FULL: Json = {
    "model": "test",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]},
        {"role": "tool", "content": "result", "tool_call_id": "1"},
        {"role": "user", "content": [{"type": "text", "text": "Hello!"}], "name": "Ann"},
    ],
    "stream": False,
    "stream_options": {"include_usage": True},
    "temperature": 0.5,
    "max_tokens": 10,
    "n": 1,
    "stop": ["end"],
    "logit_bias": {"50256": -100},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"required": ["x"]}}}],
    "tool_choice": "auto",
    "response_format": {"type": "text"},
    "metadata": {"a": "b"},
    "user": "ann",
    "x_provider": {"deep": [1, {"er": None}]},
}
SHIPPED = [name for name in ("echo", "echo-stream", "tools", "reasoning", "events") if name in pipelines.models]


@pytest.fixture(scope="module")
def client(scripted: Scripted) -> Client:
    return scripted.client


WRONG_VALUES: dict[str, list[Any]] = {
    "model": [None, "", 1],
    "messages": [None, [], "Hello!", {"role": "user"}],
    "stream": ["true", 1],
    "stream_options": [True],
    "temperature": ["1", 2.1, -0.1, True],
    "top_p": [1.1, -0.1],
    "n": [0, 129, "1", 1.5],
    "max_tokens": [0],
    "max_completion_tokens": [0, "many"],
    "presence_penalty": [2.1, -2.1],
    "frequency_penalty": [2.1, -2.1],
    "logit_bias": [[]],
    "logprobs": ["yes"],
    "top_logprobs": [21, -1],
    "seed": ["a", 1.5],
    "stop": [1, ["a"] * 5],
    "tools": [{}],
    "tool_choice": [1, "", "invalid_choice", ["auto"]],
    "parallel_tool_calls": ["no"],
    "response_format": ["json"],
    "reasoning_effort": [1],
    "metadata": ["a", {str(number): "a" for number in range(17)}],
    "service_tier": [1],
    "store": ["yes"],
    "user": [1],
}
NOT_ASSISTANT = ("developer", "system", "user", "tool", "function")
TEXT, NEW = {"type": "text", "text": ""}, {"type": "new", "text": 5, "file": None}
PARTS: dict[str, object] = {
    "text": "a",
    "refusal": "a",
    "image_url": {"url": "data:", "detail": "low", "mine": 1},
    "input_audio": {"data": "AA==", "format": "wav"},
    "file": {"file_id": "a"},
}


def with_part(part: Json) -> Json:
    return {"messages": [{"role": "user", "content": [part]}]}


WRONG_PARTS: list[tuple[str, Json]] = [
    ("messages[0]", {"messages": ["Hello!"]}),
    ("messages[0].role", {"messages": [{}]}),
    ("messages[2].role", {"messages": [MESSAGE, MESSAGE, {"content": "a"}]}),
    *(("messages[0].role", {"messages": [{"role": role}]}) for role in (None, 1, "", "User", "robot", "user\n")),
    *(("messages[0].content", {"messages": [{"role": role}]}) for role in NOT_ASSISTANT),
    *(("messages[0].content", {"messages": [{"role": role, "content": None}]}) for role in NOT_ASSISTANT),
    *(("messages[0].content", {"messages": [{"role": role, "content": []}]}) for role in ("user", "assistant")),
    ("messages[1].content", {"messages": [MESSAGE, {"role": "user", "content": 1}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": {"type": "text"}}]}),
    ("messages[0].content[0]", {"messages": [{"role": "user", "content": ["a"]}]}),
    ("messages[0].content[1]", {"messages": [{"role": "user", "content": [{"type": "new"}, None]}]}),
    *(("messages[0].content[0].type", with_part(part)) for part in ({}, {"type": None}, {"text": "a"})),
    *((f"messages[0].content[0].{name}", with_part({"type": name})) for name in PARTS),
    *((f"messages[0].content[0].{name}", with_part({"type": name, name: 5})) for name in PARTS),
    (
        "messages[1].content[2].text",
        {"messages": [MESSAGE, {"role": "user", "content": [TEXT, NEW, {"type": "text"}]}]},
    ),
    ("messages[0].content[0].image_url.url", with_part({"type": "image_url", "image_url": {}})),
    ("messages[0].content[0].image_url.url", with_part({"type": "image_url", "image_url": {"url": None}})),
    ("messages[0].content[0].input_audio.format", with_part({"type": "input_audio", "input_audio": {"data": ""}})),
    ("stream_options.include_usage", {"stream_options": {"include_usage": "yes"}}),
    ("stop[1]", {"stop": ["a", 1]}),
    ("tools[0].type", {"tools": [{}]}),
    ("tools[1].type", {"tools": [{"type": "function"}, {"type": 1}]}),
    ("tools[0].function", {"tools": [{"type": "function", "function": "f"}]}),
    ("metadata[...]", {"metadata": {"a": 1}}),
    ("logit_bias[...]", {"logit_bias": {"50256": 101}}),
]


@pytest.mark.parametrize(
    ("param", "fields"),
    [*((name, {name: value}) for name, values in WRONG_VALUES.items() for value in values), *WRONG_PARTS],
)
def test_a_wrong_field_is_named(client: Client, param: str, fields: Json) -> None:
    response = client.post("/v1/chat/completions", json=BODY | fields)

    error = error_of(response)
    assert response.status_code == 400
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, None)
    assert f"'{param}'" in error["message"]


@pytest.mark.parametrize("name", BODY)
def test_a_missing_field_is_named(client: Client, name: str) -> None:
    response = client.post("/v1/chat/completions", json={key: value for key, value in BODY.items() if key != name})

    assert response.status_code == 400
    assert error_of(response) == error_object(f"Missing required parameter: '{name}'.", param=name)


class Part(Struct):
    size: int


class Text(Struct):
    text: str
    parts: list[Part] = []


@post("/of-a-user")
async def of_a_user(data: JSONBody[Text]) -> str:
    return data.text


def test_a_wrong_body_of_a_users_own_route_names_the_field_and_not_the_argument_of_the_handler(serve: Serve) -> None:
    client = serve(returning("Hello!"))
    client.app.register(of_a_user)
    bodies = [{"txt": "a"}, {"text": 1}, {"text": "a", "parts": [{}]}, ["a"], None]
    errors = [error_of(client.post("/of-a-user", json=body)) for body in bodies]

    assert [error["param"] for error in errors] == ["text", "text", "parts[0].size", None, None]
    assert "data" not in str([error["message"] for error in errors])


ROLES = "assistant | developer | function | system | tool | user"


@pytest.mark.parametrize(
    ("path", "fields", "param", "expected"),
    [
        ("chat/completions", {"messages": [MESSAGE, {"role": "robot"}]}, "messages[1].role", ROLES),
        ("chat/completions", {"tool_choice": "robot"}, "tool_choice", "auto | none | required"),
        ("responses", {"input": [{"role": "robot", "content": "a"}]}, "input[0].role", ROLES),
    ],
)
def test_a_refused_choice_names_those_there_are(
    client: Client, path: str, fields: Json, param: str, expected: str
) -> None:
    response = client.post(f"/v1/{path}", json=BODY | fields)

    assert error_of(response)["message"] == f"Invalid value for '{param}': expected `{expected}`, got 'robot'."


LONG = "x" * 10_000


@pytest.mark.parametrize(
    "fields",
    [
        {"model": LONG},
        {"messages": [{"role": LONG.upper()}]},
        {"stop": {LONG: 1}},
        {"metadata": {LONG: 1}},
        {"logit_bias": {LONG: "a"}},
        {"temperature": LONG},
        {LONG: 1, "model": None},
    ],
    ids=["model", "role", "type", "key", "number key", "value", "unknown"],
)
def test_an_error_repeats_at_most_200_characters_of_the_request(client: Client, fields: Json) -> None:
    response = client.post("/v1/chat/completions", json=BODY | fields)

    assert 400 <= response.status_code < 500
    assert "x" * 200 not in response.text.lower()
    assert len(response.text) < 600


def test_more_messages_than_allowed_are_a_400(serve: Serve) -> None:
    client = serve(returning("Hello!"), max_messages=3)

    assert ask(client, messages=[MESSAGE] * 3).status_code == 200
    refused = ask(client, messages=[MESSAGE] * 4)
    assert refused.status_code == 400
    assert error_of(refused) == error_object("There are 4 messages: at most 3 are taken.", param="messages")


UNTOUCHED: dict[str, Json] = {
    "undeclared fields": {"top_k": 40, "provider": {"order": ["a", None]}, "": {}, "x" * 1000: 1.5, "extra": {"a": 1}},
    "fields named like attributes": {"self": 1, "cls": 2, "dict": {}, "to_body": 3, "include_usage": 4, "__dict__": {}},
    "messages": {
        "messages": [
            {"role": "developer", "content": "a", "name": "b"},
            {"role": "function", "content": "a", "name": "b", "mood": {"gay": True}},
            {"role": "user", "content": [{"type": name, name: field, "mine": [1]} for name, field in PARTS.items()]},
            {"role": "user", "content": [NEW, {"type": ""}, {"type": "video_url", "video_url": {"url": 1}}]},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": ""}, TEXT]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "function": {"name": 1}}]},
            {"role": "assistant"},
            {"role": "assistant", "content": ""},
            {"role": "tool", "content": "", "tool_call_id": "a"},
        ]
    },
    "many messages": {"messages": [MESSAGE] * 10_000},
    "a tool to call": {"tool_choice": {"type": "function", "function": {"name": "f"}}},
    "keys of a tool": {"tools": [{"type": "function", "function": {"name": "f", "strict": None}, "mine": 1}]},
    "keys of an option": {"stream_options": {"include_usage": False, "include_obfuscation": False}},
    "numbers": {"mine": [0, -1, 2**53, 2**63, 2**70, 0.1, 1e-300, 1e300, -0.0], "temperature": 1, "seed": -(2**62)},
    "texts": {"mine": "\u2028\x00\x85é🎉", "user": ""},
    "colons": {"mine": {":": ":", "a:b": "::"}, "user": ":"},
    "nulls": dict.fromkeys(ChatCompletionRequest.__struct_fields__[2:]),
}  # fmt: skip


@pytest.mark.parametrize("fields", UNTOUCHED.values(), ids=UNTOUCHED)
def test_accepted_fields_reach_the_service_untouched(client: Client, scripted: Scripted, fields: Json) -> None:
    for ascii_only in (True, False):
        content = json.dumps(BODY | fields, ensure_ascii=ascii_only).encode()
        response = client.post("/v1/chat/completions", content=content)

        assert response.status_code == 200, response.text
        assert json.dumps(scripted.body) == json.dumps(json.loads(content))
        assert scripted.messages == json.loads(content)["messages"]


@given(body=mutations_of(FULL) | json_values)
def test_any_json_reaches_the_service_untouched_or_is_a_4xx(client: Client, scripted: Scripted, body: object) -> None:
    response = client.post("/v1/chat/completions", json=body)

    if response.status_code == 200:
        assert repr(scripted.body) == repr(body)  # in which 1, 1.0 and True differ
    else:
        assert 400 <= response.status_code < 500
        assert error_of(response)["type"] == "invalid_request_error"


@pytest.fixture(scope="module")
def shipped() -> Iterator[Client]:
    """A client of the models of `app/pipelines.py`."""
    with TestClient(create_app(settings=Settings()), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.skipif("tools" not in SHIPPED, reason="needs the pack `examples`")
@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        *((schema, {}) for schema in (None, {}, {"properties": None}, {"properties": 5}, {"properties": [["a"], {}]})),
        ({"type": ["object", "null"], "properties": {"a": True, "b": {"type": 5}}}, {"a": "Hi", "b": "Hi"}),
        ({"properties": {"a": {"$ref": "#"}}, "$defs": []}, {"a": "Hi"}),
    ],
)
def test_the_model_tools_calls_a_tool_of_any_schema(shipped: Client, schema: object, arguments: Json) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}

    (call,) = message_of(ask(shipped, "Hi", model="tools", tools=[tool]))["tool_calls"]

    assert json.loads(call["function"]["arguments"]) == arguments


@pytest.mark.parametrize("model", SHIPPED)
@settings(max_examples=20)  # of each model
@given(body=mutations_of(FULL))
def test_the_example_models_answer_any_accepted_request(shipped: Client, model: str, body: Json) -> None:
    response = shipped.post("/v1/chat/completions", json=body | {"model": model})

    assert response.status_code in (200, 400), response.text
    assert response.status_code == 200 or error_of(response)["type"] == "invalid_request_error"
    assert "server_error" not in response.text


@pytest.mark.parametrize(
    ("options", "has_usage"),
    [(None, False), ({}, False), ({"include_usage": None}, False), ({"include_usage": True}, True)],
)
def test_a_stream_has_usage_only_if_an_option_asks_for_it(
    client: Client, options: Json | None, has_usage: bool
) -> None:
    for chunk in chunks_of(ask(client, stream=True, stream_options=options)):
        assert ("usage" in chunk) is has_usage


def test_a_hook_reads_unset_null_and_undeclared_fields_and_loses_none(serve: Serve) -> None:
    seen: list[ChatCompletionRequest] = []
    client = serve(returning("Hello!"), hooks=Hooks(pre_hook=seen.append))
    body = FULL | {"stream_options": {"include_usage": True, "mine": 1}, "top_p": None}

    client.post("/v1/chat/completions", json=body)

    (request,) = seen
    assert (request.top_p, request.temperature, request.seed) == (None, 0.5, UNSET)
    assert request.extra == {"x_provider": FULL["x_provider"]}
    assert request.to_body() == body
