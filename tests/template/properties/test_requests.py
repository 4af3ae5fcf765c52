"""Whatever a client sends is answered, or refused with an error that says why."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from httpx import Response
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from app.pipelines import pipelines
from tests.template.properties.forms import Json
from tests.template.properties.scripted import MODEL, Scripted, post, send, serve

REQUEST: Json = {
    "model": MODEL,
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

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3),
    max_leaves=8,
)


@st.composite
def mutated_requests(draw: st.DrawFn, request: Json = REQUEST) -> Json:
    """The request with up to three of its values, at any depth, replaced, removed or joined by another."""
    mutated: Json = json.loads(json.dumps(request))
    for _ in range(draw(st.integers(1, 3))):
        parent, key = draw(st.sampled_from(list(places(mutated))))
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                parent[key] = draw(json_values)
            case "remove":
                del parent[key]
            case _ if isinstance(parent, dict):
                parent[draw(st.text(max_size=8))] = draw(json_values)
            case _:
                parent.append(draw(json_values))
        if not mutated:
            break
    return mutated


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value with each of its keys."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


@given(value=json_values)
def test_any_json_value_is_answered_or_refused(scripted: Scripted, value: object) -> None:
    assert_answered_or_refused(post(scripted.client, value))


@given(request=mutated_requests())
def test_any_mutation_of_a_request_is_answered_or_refused(scripted: Scripted, request: Json) -> None:
    assert_answered_or_refused(post(scripted.client, request))


@given(request=mutated_requests())
def test_a_request_that_is_answered_reaches_the_service_untouched(scripted: Scripted, request: Json) -> None:
    if post(scripted.client, request).status_code == 200:
        assert exactly(scripted.body) == exactly(request)


@given(fields=st.dictionaries(st.text(max_size=8).filter(lambda name: name not in REQUEST), json_values))
def test_fields_that_are_not_declared_reach_the_service_untouched(scripted: Scripted, fields: Json) -> None:
    request = REQUEST | {f"x_{name}": value for name, value in fields.items()}
    assert post(scripted.client, request).status_code == 200
    assert exactly(scripted.body) == exactly(request)


@given(body=st.binary())
def test_bytes_that_are_no_request_are_refused(scripted: Scripted, body: bytes) -> None:
    response = send(scripted.client, body)
    assert 400 <= response.status_code < 500
    assert_error(response)


@given(
    position=st.integers(0, len(json.dumps(REQUEST))),
    removed=st.integers(0, 3),
    added=st.binary(max_size=3)
    | st.sampled_from([b"NaN", b"Infinity", b"1e999", b"\xef\xbb\xbf", b'"model":"",', b"\\ud800"]),
)
def test_a_request_with_any_bytes_in_it_is_answered_or_refused(
    scripted: Scripted, position: int, removed: int, added: bytes
) -> None:
    body = json.dumps(REQUEST).encode()
    assert_answered_or_refused(send(scripted.client, body[:position] + added + body[position + removed :]))


@pytest.fixture(scope="module")
def shipped() -> Iterator[TestClient[Litestar]]:
    """The server with the models of `app/pipelines.py`."""
    with TestClient(serve(), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("model", SHIPPED)
@settings(max_examples=30)  # of each model
@given(request=mutated_requests())
def test_the_models_of_this_project_answer_any_request_that_is_accepted(
    shipped: TestClient[Litestar], model: str, request: Json
) -> None:
    assert_answered_or_refused(post(shipped, {**request, "model": model}))


def assert_answered_or_refused(response: Response) -> None:
    if response.status_code != 200:
        assert 400 <= response.status_code < 500, response.text
        assert_error(response)


def assert_error(response: Response) -> None:
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    assert body["error"]["type"] == "invalid_request_error"


def exactly(value: object) -> str:
    """A value in a form in which 1, 1.0 and True differ."""
    return repr(value)
