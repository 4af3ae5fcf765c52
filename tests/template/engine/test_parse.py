"""Fields of a request that are missing or wrong: the error names them."""

import pytest

from schemas.chat import Json
from tests.conftest import Client, Serve, error_of, returning

MESSAGE: Json = {"role": "user", "content": "Hello!"}
BODY: Json = {"model": "test", "messages": [MESSAGE]}


@pytest.fixture(scope="module")
def client(serve_all: Serve) -> Client:
    return serve_all(returning("Hello!"))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 1}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello!"}, "messages"),
        ({"messages": {"role": "user"}}, "messages"),
        ({"messages": ["Hello!"]}, "messages[0]"),
        ({"messages": [{}]}, "messages[0].role"),
        ({"messages": [MESSAGE, MESSAGE, {"content": "a"}]}, "messages[2].role"),
        ({"messages": [{"role": None}]}, "messages[0].role"),
        ({"messages": [{"role": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "User"}]}, "messages[0].role"),
        ({"messages": [{"role": "a user"}]}, "messages[0].role"),
        ({"messages": [{"role": "user\n"}]}, "messages[0].role"),
        ({"messages": [MESSAGE, {"role": "user", "content": 1}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": {"type": "text"}}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{}, None]}]}, "messages[0].content[1]"),
        ({"stream": "true"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream_options": True}, "stream_options"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"temperature": "1"}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": -0.1}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": "1"}, "n"),
        ({"n": 1.5}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": "many"}, "max_completion_tokens"),
        ({"presence_penalty": 2.1}, "presence_penalty"),
        ({"frequency_penalty": -2.1}, "frequency_penalty"),
        ({"logit_bias": []}, "logit_bias"),
        ({"logprobs": "yes"}, "logprobs"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"seed": "a"}, "seed"),
        ({"stop": 1}, "stop"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ["a", 1]}, "stop[1]"),
        ({"tools": {}}, "tools"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}, {"type": 1}]}, "tools[1].type"),
        ({"tools": [{"type": "function", "function": "f"}]}, "tools[0].function"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"response_format": "json"}, "response_format"),
        ({"reasoning_effort": 1}, "reasoning_effort"),
        ({"metadata": "a"}, "metadata"),
        ({"metadata": {str(number): "a" for number in range(17)}}, "metadata"),
        ({"service_tier": 1}, "service_tier"),
        ({"store": "yes"}, "store"),
        ({"user": 1}, "user"),
    ],
)  # fmt: skip
def test_a_field_that_is_wrong_is_named(client: Client, fields: Json, param: str) -> None:
    response = client.post("/v1/chat/completions", json=BODY | fields)

    error = error_of(response)
    assert response.status_code == 400
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, None)
    assert f"'{param}'" in error["message"]


@pytest.mark.parametrize("name", ["model", "messages"])
def test_a_field_that_is_missing_is_named(client: Client, name: str) -> None:
    body = {key: value for key, value in BODY.items() if key != name}

    response = client.post("/v1/chat/completions", json=body)

    assert response.status_code == 400
    assert error_of(response) == {
        "message": f"Missing required parameter: '{name}'.",
        "type": "invalid_request_error",
        "param": name,
        "code": None,
    }


def test_a_wrong_value_of_a_map_names_the_map(client: Client) -> None:
    for name, value in (("metadata", {"a": 1}), ("logit_bias", {"50256": 101})):
        error = error_of(client.post("/v1/chat/completions", json={**BODY, name: value}))

        assert error["param"].startswith(name)


LONG = "x" * 10_000


@pytest.mark.parametrize(
    "body",
    [
        BODY | {"model": LONG},
        BODY | {"messages": [{"role": LONG.upper()}]},
        BODY | {"stop": {LONG: 1}},
        BODY | {"metadata": {LONG: 1}},
        BODY | {"logit_bias": {LONG: "a"}},
        BODY | {"temperature": LONG},
        {LONG: 1},
    ],
    ids=["model", "role", "type", "key", "number key", "value", "unknown"],
)
def test_an_error_repeats_little_of_what_was_sent(client: Client, body: Json) -> None:
    response = client.post("/v1/chat/completions", json=body)

    assert 400 <= response.status_code < 500
    assert "x" * 200 not in response.text.lower()
    assert len(response.text) < 600
