"""Errors: each is OpenAI's error object, with its status before a stream has begun and as a frame after that."""

import asyncio
import json
import re

import pytest
from httpx import Response
from openai import APIError, BadRequestError

from app.errors import CompletionError
from app.services import Body, Messages
from tests.conftest import ASKS, SERVER_ERROR, Client, Serve, ask, error_of, openai_of, returning, yielding

SECRET = "postgres://admin:hunter2@db"  # noqa: S105 - a text that no client may read
UNEXPECTED = {"message": SERVER_ERROR, "type": "server_error", "param": None, "code": None}
FIELDS = {"type": "my_type", "code": "context_length_exceeded", "param": "messages"}
OWN = CompletionError("Too long.", status=400, headers={"retry-after": "7"}, **FIELDS)
WRONG_FIELDS = {
    "model": "",
    "messages": [],
    "messages[0].role": [{"content": "Hello!"}],
    "stream": "yes",
    "stream_options.include_usage": {"include_usage": 1},
    "temperature": 3,
}
Logged = pytest.LogCaptureFixture
WRONG_BODIES = [b"", b"{", b"[]", b'{"n": NaN}', b'{"n": 1e999}', b'{"n": "\xff"}', b"\xef\xbb\xbf{}", b"[" * 900]


@pytest.fixture
def client(serve: Serve) -> Client:
    return serve(returning("Hello!"), max_body_size=1000)


@pytest.mark.parametrize(("param", "value"), WRONG_FIELDS.items())
def test_a_wrong_field_is_a_400_that_names_it(client: Client, param: str, value: object) -> None:
    response = ask(client, **{re.split(r"\W", param)[0]: value})
    error = error_of(response)
    assert (response.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)


@pytest.mark.parametrize("body", WRONG_BODIES)
def test_a_body_that_is_no_json_object_is_a_400(client: Client, body: bytes) -> None:
    response = client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, error_of(response)["type"]) == (400, "invalid_request_error")


def test_what_http_refuses_has_the_form_of_openai_too(client: Client) -> None:
    path, json = "/v1/chat/completions", {"content-type": "application/json"}
    refused = [
        (client.get("/v1/nope"), 404, "not_found"),
        (client.get(path), 405, "method_not_allowed"),
        (client.post(path, content=b"{}", headers={"content-type": "text/plain"}), 415, "unsupported_media_type"),
        (client.post(path, content=b"x" * 1001, headers=json), 413, "request_too_large"),
    ]
    for response, status, code in refused:
        assert (response.status_code, error_of(response)["code"]) == (status, code)
        assert ("allow" in response.headers) is (status == 405)


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_before_the_first_item_has_its_status_fields_and_headers(serve: Serve, stream: bool) -> None:
    openai = openai_of(serve(yielding(OWN)))
    with pytest.raises(BadRequestError) as caught:
        openai.chat.completions.create(**ASKS, stream=stream)
    assert caught.value.body == {"message": "Too long."} | FIELDS
    assert caught.value.response.headers["retry-after"] == "7"


def test_an_error_after_it_is_a_frame_behind_all_that_came_before(serve: Serve) -> None:
    client = serve(yielding("Hello", OWN))
    *chunks, error, done, rest = ask(client, stream=True).text.split("\n\n")

    assert json.loads(error.removeprefix("data: ")) == {"error": {"message": "Too long."} | FIELDS}
    assert (done, rest, "Hello" in chunks[-1]) == ("data: [DONE]", "", True)
    assert not [chunk for chunk in chunks if '"finish_reason":"' in chunk]
    with pytest.raises(APIError, match=r"Too long\."):
        list(openai_of(client).chat.completions.create(**ASKS, stream=True))


@pytest.mark.parametrize("error", [ValueError(SECRET), SystemExit(SECRET), StopAsyncIteration(SECRET)])
@pytest.mark.parametrize("stream", [False, True])
def test_an_unexpected_exception_is_a_500_that_reveals_nothing(serve: Serve, error: Exception, stream: bool) -> None:
    async def model(model: str, messages: Messages, body: Body) -> str:
        raise error

    response = ask(serve(model), stream=stream)
    assert (response.status_code, error_of(response)) == (500, UNEXPECTED)


def test_a_result_of_a_wrong_type_is_a_500_that_the_log_explains(serve: Serve, caplog: Logged) -> None:
    assert error_of(ask(serve(returning(42)))) == UNEXPECTED
    assert "returned int" in caplog.text


def test_a_completion_that_takes_too_long_is_a_504(serve: Serve) -> None:
    async def endless(model: str, messages: Messages, body: Body) -> None:
        await asyncio.Event().wait()

    response = ask(serve(endless, completion_timeout=0.05))
    assert (response.status_code, error_of(response)["code"]) == (504, "timeout")


def test_more_completions_than_allowed_are_a_503(serve: Serve) -> None:
    refused: list[Response] = []

    def asking_again(model: str, messages: Messages, body: Body) -> str:
        refused.append(ask(full))
        return "Hello!"

    full = serve(asking_again, max_concurrent_completions=1)
    assert ask(full).status_code == 200
    assert (refused[0].status_code, error_of(refused[0])["code"]) == (503, "overloaded")
    assert refused[0].headers["retry-after"]
