"""Bodies that are no JSON object, or say so."""

import json

import pytest
from httpx import Response

from schemas.chat import Json
from tests.conftest import Client, Serve, error_of, returning

BODY: Json = {"model": "test", "messages": [{"role": "user", "content": "Hello!"}]}


@pytest.fixture(scope="module")
def client(serve_all: Serve) -> Client:
    return serve_all(returning("Hello!"))


def post(client: Client, content: bytes | str, content_type: str = "application/json") -> Response:
    return client.post("/v1/chat/completions", content=content, headers={"content-type": content_type})


DUPLICATE = '{"model": "test", "model": "test", "messages": [{"role": "user", "content": "%s"}]}'
MALFORMED = {
    "empty": b"",
    "blank": b"  \n",
    "text": b"Hello!",
    "cut": b'{"model": "test"',
    "trailing": json.dumps(BODY).encode() + b"}",
    "comma": b'{"model": "test",}',
    "single quotes": b"{'model': 'test'}",
    "NaN": b'{"model": "test", "temperature": NaN}',
    "Infinity": b'{"model": "test", "temperature": -Infinity}',
    "huge number": b'{"model": "test", "temperature": 1e999}',
    "BOM": b"\xef\xbb\xbf" + json.dumps(BODY).encode(),
    "UTF-16": json.dumps(BODY).encode("utf-16"),
    "invalid UTF-8": b'{"model": "\xff\xfe"}',
    "overlong UTF-8": b'{"model": "\xc0\xaf"}',
    "lone surrogate": json.dumps(BODY | {"user": "\ud800"}).encode(),
    "lone surrogate of an undeclared field": json.dumps(BODY | {"mine": ["\udfff"]}).encode(),
    "lone surrogate of a key": json.dumps(BODY | {"\ud800": 1}).encode(),
    "encoded surrogate": b'{"model": "\xed\xa0\x80"}',
    "control character": b'{"model": "a\nb"}',
    "NUL": b"\x00",
    "arrays": b"[" * 100_000,
    "closed arrays": b'{"mine": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "duplicate key": (DUPLICATE % "Hello!").encode(),
    "duplicate key beside an escaped colon": (DUPLICATE % r"\u003a").encode(),
    "duplicate key of a message": b'{"model": "test", "messages": [{"role": "user", "role": "system"}]}',
    "array": b"[]",
    "string": b'"Hello!"',
    "number": b"1",
    "null": b"null",
    "form": b"model=test",
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_a_body_that_is_no_json_object_is_refused(client: Client, content: bytes) -> None:
    response = post(client, content)

    error = error_of(response)
    assert response.status_code == 400
    assert (error["type"], error["code"]) == ("invalid_request_error", None)
    assert error["message"].startswith("The body ")
    assert len(error["message"]) < 200


@pytest.mark.parametrize("depth", [10, 200, 500, 900, 950, 1000, 1500, 5000])
def test_nesting_of_any_depth_is_taken_or_refused(client: Client, depth: int) -> None:
    for nested in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        for name in (b"mine", b"metadata", b"tools"):
            response = post(client, b'{"model":"test","messages":[{"role":"user"}],"%b":%b}' % (name, nested))

            assert response.status_code in (200, 400)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_that_says_it_is_not_json_is_refused(client: Client, content_type: str) -> None:
    response = post(client, json.dumps(BODY), content_type)

    assert response.status_code == 415
    assert error_of(response) == {
        "message": "The body must be JSON: send the header 'content-type: application/json'.",
        "type": "invalid_request_error",
        "param": None,
        "code": "unsupported_media_type",
    }


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON ;a=b"],
)
def test_a_body_that_says_it_is_json_is_taken(client: Client, content_type: str) -> None:
    assert post(client, json.dumps(BODY), content_type).status_code == 200


def test_a_body_that_does_not_say_what_it_is_is_taken_as_json(client: Client) -> None:
    request = client.build_request("POST", "/v1/chat/completions", content=json.dumps(BODY))
    request.headers.pop("content-type", None)

    assert client.send(request).status_code == 200
