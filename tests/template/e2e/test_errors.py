import json
from collections.abc import Iterable
from typing import Any

import httpx
import openai
import pytest
from openai import APIError, APIStatusError, AsyncOpenAI, BadRequestError, InternalServerError, NotFoundError, OpenAI
from openai.types.chat import ChatCompletionChunk

from tests.template.e2e.clients import says
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.failing import SECRET
from tests.template.e2e.server import Server
from tests.template.e2e.sse import frames_of

FIXED = "The server had an error while processing the request."
FULL = {
    "message": "Too long",
    "status": 400,
    "type": "own_type",
    "code": "context_length_exceeded",
    "param": "messages",
}
CLASSES = [
    (400, openai.BadRequestError, "invalid_request_error"),
    (401, openai.AuthenticationError, "invalid_request_error"),
    (403, openai.PermissionDeniedError, "invalid_request_error"),
    (404, openai.NotFoundError, "invalid_request_error"),
    (409, openai.ConflictError, "invalid_request_error"),
    (422, openai.UnprocessableEntityError, "invalid_request_error"),
    (429, openai.RateLimitError, "rate_limit_error"),
    (500, openai.InternalServerError, "server_error"),
    (503, openai.InternalServerError, "server_error"),
]


def fields_of(error: APIError) -> tuple[str, str | None, str | None, str | None]:
    return error.message.partition(" - ")[2] or error.message, error.type, error.param, error.code


def until_error(stream: Iterable[ChatCompletionChunk]) -> tuple[list[ChatCompletionChunk], APIError]:
    chunks: list[ChatCompletionChunk] = []
    try:
        chunks.extend(stream)  # which keeps what came before the error
    except APIError as error:
        return chunks, error
    raise AssertionError("The stream raised nothing")


@pytest.mark.parametrize("model", ["refuse", "refuse-before"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "kind", "type"), CLASSES)
def test_an_error_before_the_first_item_is_one_of_http(
    client: OpenAI, model: str, stream: bool, status: int, kind: type[APIStatusError], type: str
) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(
            model=model, messages=says(json.dumps({"message": "No", "status": status})), stream=stream
        )

    assert caught.value.status_code == status
    assert caught.value.body == {"message": "No", "type": type, "param": None, "code": None}


@pytest.mark.parametrize("stream", [False, True])
def test_a_service_s_own_error_keeps_all_its_fields_and_headers(client: OpenAI, stream: bool) -> None:
    wanted = FULL | {"headers": {"retry-after": "7"}}

    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(model="refuse", messages=says(json.dumps(wanted)), stream=stream)

    error = caught.value
    assert (error.status_code, error.type, error.code, error.param) == (
        400,
        "own_type",
        "context_length_exceeded",
        "messages",
    )
    assert error.response.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}, {"content": "Hello!"}]}, "messages[1].role"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_wrong_field_is_a_bad_request_that_names_it(client: OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(model="function", messages=says("Hello!"), extra_body=fields)

    assert (caught.value.type, caught.value.param, caught.value.code) == ("invalid_request_error", param, None)


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_not_found(client: OpenAI, stream: bool) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.chat.completions.create(model="none", messages=says("Hello!"), stream=stream)

    error = caught.value
    assert (error.type, error.param, error.code) == ("invalid_request_error", "model", "model_not_found")
    assert "function" in error.message


def test_an_unknown_path_is_not_found(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.get("/nothing/here", cast_to=object)

    assert (caught.value.type, caught.value.param, caught.value.code) == ("invalid_request_error", None, "not_found")


def test_a_wrong_method_is_an_error_that_names_the_right_one(client: OpenAI) -> None:
    with pytest.raises(APIStatusError) as caught:
        client.post("/models", cast_to=object, body={})

    assert (caught.value.status_code, caught.value.code) == (405, "method_not_allowed")
    assert "GET" in caught.value.response.headers["allow"]


@pytest.mark.parametrize("model", ["crash", "crash-before"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_a_service_raises_by_mistake_reveals_nothing(client: OpenAI, model: str, stream: bool) -> None:
    with pytest.raises(InternalServerError) as caught:
        client.chat.completions.create(model=model, messages=says("Hello!"), stream=stream)

    assert caught.value.status_code == 500
    assert caught.value.body == {"message": FIXED, "type": "server_error", "param": None, "code": None}


@pytest.mark.parametrize("stream", [False, True])
def test_a_result_of_the_wrong_type_is_explained_in_the_log_alone(server: Server, client: OpenAI, stream: bool) -> None:
    with pytest.raises(InternalServerError) as caught:
        client.chat.completions.create(model="wrong-type", messages=says("Hello!"), stream=stream)

    assert caught.value.body == {"message": FIXED, "type": "server_error", "param": None, "code": None}
    server.wait_for_log("A completion service returned int")


def test_litestar_s_own_exceptions_keep_their_status_and_detail(client: OpenAI) -> None:
    with pytest.raises(APIStatusError) as caught:
        client.chat.completions.create(model="teapot", messages=says("Hello!"))

    assert caught.value.status_code == 418
    assert caught.value.response.headers["x-brew"] == "tea"
    assert fields_of(caught.value)[1:] == ("invalid_request_error", None, None)
    assert "I am a teapot" in caught.value.message


@pytest.mark.parametrize("model", ["crash-after", "crash-after-sync"])
def test_an_error_in_mid_stream_comes_after_the_chunks_before_it(client: OpenAI, model: str) -> None:
    chunks, error = until_error(client.chat.completions.create(model=model, messages=says("Hello!"), stream=True))

    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "one", " two"]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None]
    assert error.body == {"message": FIXED, "type": "server_error", "param": None, "code": None}


def test_a_service_s_own_error_in_mid_stream_keeps_all_its_fields(client: OpenAI) -> None:
    stream = client.chat.completions.create(model="refuse-after", messages=says(json.dumps(FULL)), stream=True)

    with pytest.raises(APIError) as caught:
        list(stream)

    assert fields_of(caught.value) == ("Too long", "own_type", "messages", "context_length_exceeded")


def test_the_stream_helper_raises_an_error_in_mid_stream(client: OpenAI) -> None:
    with (
        client.chat.completions.stream(model="crash-after", messages=says("Hello!")) as stream,
        pytest.raises(APIError, match=FIXED),
    ):
        stream.until_done()


@pytest.mark.anyio
async def test_the_async_client_gets_errors_before_and_in_mid_stream(async_client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        await async_client.chat.completions.create(model="refuse-before", messages=says(json.dumps(FULL)), stream=True)
    stream = await async_client.chat.completions.create(model="crash-after", messages=says("Hello!"), stream=True)
    texts = [(await anext(stream)).choices[0].delta.content for _ in range(3)]
    with pytest.raises(APIError, match=FIXED):
        await anext(stream)

    assert refused.value.code == "context_length_exceeded"
    assert texts == ["", "one", " two"]


def test_a_failed_stream_ends_with_the_error_and_done(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", json=chat("crash-after", "Hello!", stream=True))

    *chunks, error, done = frames_of(response)
    assert len(chunks) == 3
    assert json.loads(error) == {"error": {"message": FIXED, "type": "server_error", "param": None, "code": None}}
    assert done == "[DONE]"


@pytest.mark.parametrize("model", ["crash", "crash-before", "crash-after", "crash-after-sync"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_secret_in_an_exception_is_never_on_the_wire(http: httpx.Client, model: str, stream: bool) -> None:
    response = http.post("/v1/chat/completions", json=chat(model, "Hello!", stream=stream))

    for secret in (SECRET, "hunter2", "Traceback", "RuntimeError", "ValueError", ".py"):
        assert secret not in response.text
        assert secret not in str(response.headers)


def test_a_body_that_is_not_json_is_refused(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", content=b"model=function", headers={"content-type": "text/plain"})

    assert response.status_code == 415
    assert response.json()["error"]["code"] == "unsupported_media_type"


def test_what_is_not_http_is_refused_in_the_same_form(server: Server) -> None:
    with Connection(server.port) as connection:
        connection.send(b"Hello!\r\n\r\n")
        head, _, body = connection.read_to_end().partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
