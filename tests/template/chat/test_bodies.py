"""Bodies of requests: JSON objects of a limited depth and size, which say that they are JSON."""

import gzip
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from httpx import Response
from hypothesis import given
from hypothesis import strategies as st

from app.engine.request import MAX_VALUES, parse_json
from schemas.chat import Json
from tests.conftest import Client, Serve, ask, error_of, returning
from tests.template.conftest import error_object

BODY: Json = {"model": "test", "messages": [{"role": "user", "content": "Hello!"}], "temperature": 0.5}
VALID = json.dumps(BODY).encode()


@pytest.fixture(scope="module")
def client(serve_all: Serve) -> Client:
    return serve_all(returning("Hello!"))


def post(client: Client, content: Any, content_type: str = "application/json") -> Response:
    return client.post("/v1/chat/completions", content=content, headers={"content-type": content_type})


MALFORMED = {
    "empty": b"",
    "blank": b"  \n",
    "text": b"Hello!",
    "form": b"model=test",
    "cut": b'{"model": "test"',
    "trailing": VALID + b"}",
    "two bodies": VALID + VALID,
    "comma": b'{"model": "test",}',
    "single quotes": b"{'model': 'test'}",
    "Python": VALID.replace(b"0.5", b"True"),
    "NaN": VALID.replace(b"0.5", b"NaN"),
    "Infinity": VALID.replace(b"0.5", b"-Infinity"),
    "huge exponent": VALID.replace(b"0.5", b"1e999"),
    "huge number": VALID.replace(b"0.5", b"1" * 10_000),
    "leading zero": VALID.replace(b"0.5", b"01"),
    "BOM": b"\xef\xbb\xbf" + VALID,
    "UTF-16": json.dumps(BODY).encode("utf-16"),
    "invalid UTF-8": VALID.replace(b"Hello", b"\xff\xfe"),
    "overlong UTF-8": VALID.replace(b"Hello", b"\xc0\xaf"),
    "lone surrogate": json.dumps(BODY | {"user": "\ud800"}).encode(),
    "lone surrogate of an undeclared field": json.dumps(BODY | {"mine": ["\udfff"]}).encode(),
    "lone surrogate of a key": json.dumps(BODY | {"\ud800": 1}).encode(),
    "encoded surrogate": VALID.replace(b"Hello", b"\xed\xa0\x80"),
    "unknown escape": VALID.replace(b"Hello", b"\\x00"),
    "control character": VALID.replace(b"Hello", b"a\nb"),
    "NUL": VALID + b"\x00",
    "open arrays": b"[" * 1_000_000,
    "deep arrays": VALID.replace(b"0.5", b"[" * 100_000 + b"]" * 100_000),
    "deep objects": VALID.replace(b"0.5", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "duplicate key": VALID.replace(b'"temperature": 0.5', b'"model": "test"'),
    "duplicate key beside an escaped colon": VALID.replace(b"Hello", rb"\u003a").replace(b"temperature", b"model"),
    "duplicate key of a message": VALID.replace(b"content", b"role"),
    "array": b"[]",
    "string": b'"Hello!"',
    "number": b"1",
    "null": b"null",
}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cut", "input data was truncated"),
        ("huge exponent", "number out of range"),
        ("lone surrogate", "it is cut off, or has a lone surrogate"),
    ],
)
def test_the_error_of_malformed_json_says_what_is_wrong(client: Client, name: str, reason: str) -> None:
    assert error_of(post(client, MALFORMED[name]))["message"] == f"The body is not valid JSON: {reason}."


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_a_body_that_is_no_json_object_is_a_400(client: Client, content: bytes) -> None:
    response = post(client, content)

    error = error_of(response)
    assert response.status_code == 400
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, None)
    assert error["message"].startswith("The body ")
    assert len(error["message"]) < 200


@given(
    position=st.integers(0, len(VALID)),
    removed=st.integers(0, 3) | st.just(len(VALID)),
    added=st.binary() | st.sampled_from([b"NaN", b"Infinity", b"1e999", b"\xef\xbb\xbf", b'"model":"",', b"\\ud800"]),
)
def test_a_request_with_changed_bytes_is_answered_or_a_4xx(
    client: Client, position: int, removed: int, added: bytes
) -> None:
    response = post(client, VALID[:position] + added + VALID[position + removed :])

    if response.status_code != 200:
        assert 400 <= response.status_code < 500
        assert error_of(response)["type"] == "invalid_request_error"


def nested(depth: int, inner: Any = None) -> Any:
    """Return a value of this depth: arrays and objects in turn."""
    return inner if depth == 0 else nested(depth - 1, [inner] if depth % 2 else {"a": inner})


@pytest.mark.parametrize(("limits", "limit"), [({"max_json_depth": 3}, 3), ({"max_json_depth": 50}, 50), ({}, 100)])
def test_a_body_nested_deeper_than_the_limit_is_a_400(serve: Serve, limits: dict[str, Any], limit: int) -> None:
    client = serve(returning("Hello!"), **limits)

    assert ask(client, mine=nested(limit - 1)).status_code == 200  # the body is a level itself
    refused = ask(client, mine=nested(limit))
    assert refused.status_code == 400
    assert error_of(refused)["message"] == f"The body is nested too deeply: at most {limit} levels."


def test_brackets_in_texts_and_siblings_do_not_count_as_levels(serve: Serve) -> None:
    client = serve(returning("Hello!"), max_json_depth=4)

    assert ask(client, content='{"a":[' * 100, mine=[{"a": []}] * 1000).status_code == 200


@pytest.mark.parametrize("depth", [200, 500, 900, 950, 1000, 1500, 5000])
def test_without_a_limit_a_body_of_any_depth_is_answered_or_a_400(serve: Serve, depth: int) -> None:
    client = serve(returning("Hello!"), max_json_depth=0)

    for deep in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        for name in (b"mine", b"metadata", b"tools"):
            status = post(client, VALID.replace(b'"temperature": 0.5', b'"%b": %b' % (name, deep))).status_code
            assert status == 200 if (name, depth) == (b"mine", 200) else status in (200, 400)


def body_with(mine: bytes) -> bytes:
    return VALID.replace(b"0.5", b'0.5, "mine": ' + mine)


MANY = MAX_VALUES - 7  # numbers that an array may hold beside the other values
TOO_MANY, TOO_LONG = (
    f"The body has too many values: at most {MAX_VALUES}.",
    "The body has a number of 1000 digits or more.",
)
LARGE: dict[str, tuple[bytes, str | None]] = {
    "values": (json.dumps([10] * MANY).encode(), None),
    "one value more": (json.dumps([10] * (MANY + 1)).encode(), TOO_MANY),
    "arrays": (b"[" * 50 + b"]" * 50 + b",[]" * MAX_VALUES, TOO_MANY),
    "messages": (b"[" + b'{"role":"user"},' * MAX_VALUES + b"{}]", TOO_MANY),
    "commas and brackets in a text": (json.dumps(r",[{\"" * MAX_VALUES).encode(), None),
    "quotes in a text": (json.dumps('",' * MAX_VALUES).encode(), None),
    "digits in a text": (b'"' + b"9" * 2 * MAX_VALUES + b'"', None),
    "999 digits": (b"[" + b",".join([b"9" * 999] * 1100) + b"]", None),
    "1000 digits": (b"[" + b",".join([b"1234567890" * 100] * 1100) + b"]", TOO_LONG),
    "a million digits": (b"0." + b"1" * 2 * MAX_VALUES, TOO_LONG),
}


@pytest.mark.parametrize(("mine", "message"), LARGE.values(), ids=LARGE)
def test_a_large_body_of_too_many_values_or_digits_is_a_400(client: Client, mine: bytes, message: str | None) -> None:
    response = post(client, body_with(mine))

    assert response.status_code == (400 if message else 200), response.text
    assert message is None or error_of(response)["message"] == message


def test_python_parses_floats_as_msgspec_is_slow_with_extreme_ones() -> None:
    floats, called = [1e308, 5e-324, -0.0, 1.5, 2.2250738585072011e-308], list[str]()
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_name) if event == "call" else None)
    try:
        body = parse_json(body_with(json.dumps(floats).encode()), content_type=b"")
    finally:
        sys.setprofile(None)

    assert repr(body["mine"]) == repr(floats)
    assert called.count("_finite") == len(floats) + 1


def pieces(size: int) -> Iterator[bytes]:
    """Yield a body whose length no header tells."""
    yield b'{"model": "'
    for _ in range(size // 100):
        yield b"x" * 100


@pytest.mark.parametrize("content", [b"x" * 1001, b"[" * 100_000, pieces(2000)], ids=["bytes", "deep", "chunked"])
def test_a_body_over_the_size_limit_is_a_413(serve: Serve, content: Any) -> None:
    client = serve(returning("Hello!"), max_body_size=1000)

    response = post(client, content)

    error = error_of(response)
    assert response.status_code == 413
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, "request_too_large")
    assert re.fullmatch(r"The body has more than [\d,]+ bytes, the most that is taken\.", error["message"])
    assert post(client, VALID.ljust(1000)).status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_of_another_content_type_is_a_415(client: Client, content_type: str) -> None:
    response = post(client, VALID, content_type)

    assert response.status_code == 415
    message = "The body must be JSON: send the header 'content-type: application/json'."
    assert error_of(response) == error_object(message, code="unsupported_media_type")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "identity, GZIP"])
def test_a_compressed_body_is_a_415_that_says_so(client: Client, path: str, encoding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    response = client.post(path, content=gzip.compress(VALID), headers=headers)

    assert (response.status_code, response.headers["accept-encoding"]) == (415, "identity")
    error = error_of(response)
    assert "must not be compressed" in error["message"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, "unsupported_media_type")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        *({"content-type": value} for value in ("application/json; charset=utf-8", "Application/JSON ;a=b")),
        *({"content-encoding": value} for value in ("identity", "Identity", "")),
    ],
)
def test_a_body_of_json_is_accepted(client: Client, headers: dict[str, str]) -> None:
    assert client.post("/v1/chat/completions", content=VALID, headers=headers).status_code == 200
