"""Errors of a service, before its first item and after it; silence; a client that leaves."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from litestar.exceptions import HTTPException, NotAuthorizedException, NotFoundException, TooManyRequestsException

from app.errors import CompletionError
from app.services import Body, Messages
from schemas.chat import Json
from tests.conftest import SERVER_ERROR, Serve, ask, error_of, yielding
from tests.template.conftest import choice, chunk, stream

UNEXPECTED: Json = {"message": SERVER_ERROR, "type": "server_error", "param": None, "code": None}
FULL = CompletionError(
    "Too long.",
    status=422,
    type="context_error",
    code="context_length_exceeded",
    param="messages[0]",
    headers={"x-limit": "9"},
)
ERRORS = {
    "value": (ValueError("secret"), 500, UNEXPECTED),
    "key": (KeyError("secret"), 500, UNEXPECTED),
    "runtime": (RuntimeError("secret"), 500, UNEXPECTED),
    "stop": (StopAsyncIteration("secret"), 500, UNEXPECTED),
    "cancelled": (asyncio.CancelledError("secret"), 500, UNEXPECTED),
    "timeout": (TimeoutError("secret"), 500, UNEXPECTED),
    "exit": (SystemExit(1), 500, UNEXPECTED),
    "full": (
        FULL,
        422,
        {"message": "Too long.", "type": "context_error", "param": "messages[0]", "code": "context_length_exceeded"},
    ),
    "plain": (
        CompletionError("Sorry."),
        500,
        {"message": "Sorry.", "type": "server_error", "param": None, "code": None},
    ),
    "http": (
        HTTPException(detail="A teapot.", status_code=418),
        418,
        {"message": "A teapot.", "type": "invalid_request_error", "param": None, "code": None},
    ),
    "not found": (
        NotFoundException("No such document."),
        404,
        {"message": "No such document.", "type": "invalid_request_error", "param": None, "code": "not_found"},
    ),
    "rate limit": (
        TooManyRequestsException("Slowly."),
        429,
        {"message": "Slowly.", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"},
    ),
}
EACH_ERROR = pytest.mark.parametrize(("error", "status", "expected"), ERRORS.values(), ids=ERRORS)


def frames_before_done(text: str) -> list[Json]:
    *frames, done, rest = text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


@EACH_ERROR
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("form", ["function", "async function", "async generator"])
def test_an_error_before_the_first_item_is_an_http_error(
    serve: Serve, error: BaseException, status: int, expected: Json, streaming: bool, form: str
) -> None:
    def function(model: str, messages: Messages, body: Body) -> str:
        raise error

    async def coroutine(model: str, messages: Messages, body: Body) -> str:
        raise error

    async def generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        raise error
        yield "never"

    service = {"function": function, "async function": coroutine, "async generator": generator}[form]
    response = ask(serve(service), stream=streaming)

    assert response.status_code == status
    assert error_of(response) == expected


@EACH_ERROR
def test_an_error_after_the_first_item_is_a_frame_and_nothing_is_taken_back(
    serve: Serve, error: BaseException, status: int, expected: Json
) -> None:
    async def service(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        yield "Hello"
        raise error

    response = ask(serve(service), stream=True)

    assert response.status_code == 200
    role, text, _ = stream({"content": "Hello"})
    assert frames_before_done(response.text) == [role, text, {"error": expected}]
    assert ask(serve(service)).status_code == status


def test_an_error_of_a_sync_generator_is_a_frame_too(serve: Serve) -> None:
    role, text, error = frames_before_done(ask(serve(yielding("Hello", ValueError("secret"))), stream=True).text)

    assert [role, text] == [chunk(choice({"role": "assistant", "content": ""})), chunk(choice({"content": "Hello"}))]
    assert error == {"error": UNEXPECTED}


@pytest.mark.parametrize("streaming", [True, False])
def test_headers_of_an_error_are_sent_before_a_stream(serve: Serve, streaming: bool) -> None:
    response = ask(serve(yielding(FULL)), stream=streaming)

    assert (response.status_code, response.headers["x-limit"]) == (422, "9")


def test_headers_of_an_http_exception_are_sent(serve: Serve) -> None:
    response = ask(serve(yielding(NotAuthorizedException("Who?", headers={"www-authenticate": "Bearer"}))))

    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert error_of(response)["code"] == "invalid_api_key"


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("items", [[], ["Hello"]], ids=["before", "after"])
def test_what_nobody_meant_for_the_client_is_in_the_log_alone(
    serve: Serve, capsys: pytest.CaptureFixture[str], streaming: bool, items: list[str]
) -> None:
    client = serve(yielding(*items, ValueError("secret")))
    client.headers["x-request-id"] = "of-this-request"

    response = ask(client, stream=streaming)

    assert "secret" not in response.text
    log = capsys.readouterr().err
    assert "Traceback" in log
    assert "ValueError: secret" in log
    assert "of-this-request" in log.splitlines()[0]


@pytest.mark.parametrize(
    "item",
    [
        {"choices": [1]},
        {"choices": ["a"]},
        {"choices": [{"delta": 1}]},
        {"choices": [{"message": 1}]},
        {"choices": [choice({"content": "Hello!"}, mine=object())]},
    ],
    ids=["number", "text", "delta", "message", "no json"],
)
def test_a_dict_that_is_no_chunk_is_an_error_of_the_service(serve: Serve, item: Json) -> None:
    client = serve(yielding("Hello", item))

    whole = ask(client)
    *sent, error = frames_before_done(ask(client, stream=True).text)

    assert (whole.status_code, error_of(whole)) == (500, UNEXPECTED)
    assert sent == stream({"content": "Hello"})[:2]
    assert error == {"error": UNEXPECTED}
