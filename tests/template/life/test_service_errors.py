"""Errors of a service: an HTTP error before the first item, a frame after it."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from litestar.exceptions import HTTPException, NotAuthorizedException, NotFoundException, TooManyRequestsException

from app.errors import CompletionError
from app.registry import Pipelines
from app.services import Body, Messages
from schemas.chat import Json
from tests.conftest import SERVER_ERROR, Serve, ask, error_of, yielding
from tests.template.conftest import choice, stream

UNEXPECTED: Json = {"message": SERVER_ERROR, "type": "server_error", "param": None, "code": None}
INVALID: Json = {"type": "invalid_request_error", "param": None}
LIMITED: Json = {"message": "Slowly.", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}
FIELDS: Json = {"type": "context_error", "param": "messages[0]", "code": "context_length_exceeded"}
ERRORS = {
    "value": (ValueError("secret"), 500, UNEXPECTED),
    "key": (KeyError("secret"), 500, UNEXPECTED),
    "runtime": (RuntimeError("secret"), 500, UNEXPECTED),
    "stop": (StopAsyncIteration("secret"), 500, UNEXPECTED),
    "cancelled": (asyncio.CancelledError("secret"), 500, UNEXPECTED),
    "timeout": (TimeoutError("secret"), 500, UNEXPECTED),
    "exit": (SystemExit(1), 500, UNEXPECTED),
    "full": (CompletionError("Too long.", status=422, **FIELDS), 422, {"message": "Too long.", **FIELDS}),
    "plain": (CompletionError("Sorry."), 500, {**UNEXPECTED, "message": "Sorry."}),
    "http": (HTTPException(detail="Tea.", status_code=418), 418, {"message": "Tea.", "code": None, **INVALID}),
    "not found": (NotFoundException("Gone."), 404, {"message": "Gone.", "code": "not_found", **INVALID}),
    "rate limit": (TooManyRequestsException("Slowly."), 429, LIMITED),
}


class Unreadable:
    @property
    def content(self) -> str:
        raise ValueError("secret")


BROKEN = {
    "an exception": ValueError("secret"),
    "an object whose content fails": Unreadable(),
    "a number as a choice": {"choices": [1]},
    "a text as a choice": {"choices": ["a"]},
    "a number as a delta": {"choices": [{"delta": 1}]},
    "a number as a message": {"choices": [{"message": 1}]},
    "a value that is no JSON": {"choices": [choice({"content": "Hello!"}, mine=object())]},
}
EACH_ERROR = pytest.mark.parametrize(("error", "status", "expected"), ERRORS.values(), ids=ERRORS)


def frames_before_done(text: str) -> list[Json]:
    *frames, done, rest = text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


@EACH_ERROR
def test_an_error_before_the_first_item_is_an_http_error(
    serve: Serve, error: BaseException, status: int, expected: Json
) -> None:
    def function(model: str, messages: Messages, body: Body) -> str:
        raise error

    async def coroutine(model: str, messages: Messages, body: Body) -> str:
        raise error

    async def generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        raise error
        yield "never"

    pipelines = Pipelines()
    for model in (function, coroutine, generator):
        pipelines.add(model.__name__, model)
    client = serve(pipelines)
    for name in pipelines.models:
        for streaming in (True, False):
            response = ask(client, model=name, stream=streaming)
            assert (response.status_code, error_of(response)) == (status, expected)


@EACH_ERROR
def test_an_error_after_the_first_item_is_a_frame_and_nothing_is_taken_back(
    serve: Serve, error: BaseException, status: int, expected: Json
) -> None:
    async def service(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        yield "Hello"
        raise error

    client = serve(service)

    streamed, whole = ask(client, stream=True), ask(client)

    assert streamed.status_code == 200
    assert frames_before_done(streamed.text) == [*stream({"content": "Hello"})[:2], {"error": expected}]
    assert (whole.status_code, error_of(whole)) == (status, expected)


@pytest.mark.parametrize("item", BROKEN.values(), ids=BROKEN)
def test_an_error_of_an_item_in_a_thread_is_a_frame_too(serve: Serve, item: object) -> None:
    client = serve(yielding("Hello", item))

    whole, streamed = ask(client), ask(client, stream=True)

    assert (whole.status_code, error_of(whole)) == (500, UNEXPECTED)
    assert frames_before_done(streamed.text) == [*stream({"content": "Hello"})[:2], {"error": UNEXPECTED}]


def test_headers_of_an_http_exception_are_sent(serve: Serve) -> None:
    response = ask(serve(yielding(NotAuthorizedException("Who?", headers={"www-authenticate": "Bearer"}))))

    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert error_of(response)["code"] == "invalid_api_key"
