"""Errors of services: their status and fields before a stream has begun, a last frame in one, and never a secret."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from enum import StrEnum
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from httpx import Response
from hypothesis import given
from hypothesis import strategies as st
from litestar.exceptions import (
    HTTPException,
    ImproperlyConfiguredException,
    InternalServerException,
    NotFoundException,
    ValidationException,
)
from openai import APIError, InternalServerError

from app.errors import CompletionError, CompletionTimeoutError, InvalidRequestError, ModelNotFoundError, OverloadedError
from app.services import Body, Messages
from schemas.chat import Delta, Json
from tests.conftest import ASKS, SERVER_ERROR, Serve, ask, error_of, live, openai_of, yielding
from tests.template.chat.scripted import WAYS, Scripted, Way
from tests.template.conftest import UNEXPECTED

SECRET = "postgres://admin:hunter2@db.internal"  # noqa: S105 - a text that no client may read


def fields(type: str, *, message: str = "A.", param: str | None = None, code: str | None = None) -> Json:
    return {"message": message, "type": type, "param": param, "code": code}


LONG = "x" * 300
FOREIGN = {"status_code": 418, "detail": "A.", "headers": {"x-brew": "tea"}}
INVALID, SERVER = "invalid_request_error", "server_error"
OVERLOADED = "The server is overloaded. Try again in a moment."
TOOK_TOO_LONG = "The completion took longer than 1.5 s."
NO_MODEL = "The model 'x' "
RAISED: list[tuple[Exception, int, Json]] = [
    *((CompletionError("A.", status=status), status, fields(INVALID)) for status in (400, 401, 403, 404, 409, 422)),
    (CompletionError("A.", status=429), 429, fields("rate_limit_error")),
    (CompletionError("A."), 500, fields(SERVER)),
    (CompletionError("A.", status=503), 503, fields(SERVER)),
    (CompletionError("A.", type="b", code="c", param="d"), 500, fields("b", code="c", param="d")),
    (InvalidRequestError("A.", param="n"), 400, fields(INVALID, param="n")),
    (InvalidRequestError("A.", status=415), 415, fields(INVALID, code="unsupported_media_type")),
    (InvalidRequestError(LONG, param=LONG), 400, fields(INVALID, message=f"{LONG[:199]}…", param=f"{LONG[:199]}…")),
    (OverloadedError(), 503, fields(SERVER, message=OVERLOADED, code="overloaded")),
    (CompletionTimeoutError(1.5), 504, fields(SERVER, message=TOOK_TOO_LONG, code="timeout")),
    *(
        (
            ModelNotFoundError("x", known=known),
            404,
            fields(INVALID, message=f"{NO_MODEL}{fact}.", param="model", code="model_not_found"),
        )
        for known, fact in (
            (["b", "a"], "does not exist. Available: a, b"),
            ([], "does not exist. Available: none"),
            ("abcdefghijklmnopqrst", f"does not exist. Available: {', '.join('abcdefghijklmnopqrst')}"),
            ("abcdefghijklmnopqrstuv", f"does not exist. Available: {', '.join('abcdefghijklmnopqrst')} and 2 more"),
            (None, "is not served here"),
        )
    ),
    (HTTPException("A.", status_code=401), 401, fields(INVALID, code="invalid_api_key")),
    (HTTPException("A.", status_code=409), 409, fields(INVALID)),
    (HTTPException("A.", status_code=429), 429, fields("rate_limit_error", code="rate_limit_exceeded")),
    (HTTPException("A.", status_code=503), 503, fields(SERVER, code="overloaded")),
    (NotFoundException("A."), 404, fields(INVALID, code="not_found")),
    (ValidationException("A."), 400, fields(INVALID)),
    (InternalServerException("A."), 500, fields(SERVER)),
    (type("HTTPException", (Exception,), FOREIGN)(), 418, fields(INVALID)),
]  # fmt: skip


@pytest.mark.parametrize(("error", "status", "expected"), RAISED)
def test_an_error_meant_for_the_client_keeps_its_status_and_fields(
    serve: Serve, caplog: pytest.LogCaptureFixture, error: Exception, status: int, expected: Json
) -> None:
    def function(model: str, messages: Messages, body: Body) -> str:
        raise error

    for model in (function, yielding(error)):
        client = serve(model)
        for stream in (False, True):
            response = ask(client, stream=stream)
            assert (response.status_code, error_of(response)) == (status, expected)
            assert response.headers.items() >= (getattr(error, "headers", None) or {}).items()
    assert not [record for record in caplog.records if record.exc_info]


class Code(StrEnum):
    FULL = "full"


RETRY, ILLEGAL = (
    {"retry-after": 3, "x-time": 0.5, "x-name": "\u20ac"},
    {"x-a": "b\nc", "x-b": "\u20ac", "x c": "", "x-d": None},
)
ODD: list[tuple[type[Exception], object, dict[str, Any], int, Json]] = [
    *((CompletionError, "A.", {"status": s}, 500, fields(SERVER)) for s in (204, 99, 600, True, "404", 404.5, None)),
    (CompletionError, ValueError("A."), {}, 500, fields(SERVER)),
    (CompletionError, "\ud800", {}, 500, fields(SERVER, message="\ufffd")),
    (CompletionError, "A.", {"type": 1, "code": 2, "param": ["b"]}, 500, fields("1", code="2", param="['b']")),
    (CompletionError, "A.", {"code": Code.FULL, "status": HTTPStatus.CONFLICT}, 409, fields(INVALID, code="full")),
    (CompletionError, "A.", {"headers": RETRY}, 500, fields(SERVER)),
    (CompletionError, "A.", {"headers": ILLEGAL | {"Content-Length": "1"}}, 500, fields(SERVER)),
    (CompletionError, "A.", {"headers": ["x"]}, 500, fields(SERVER)),
    (InvalidRequestError, ValueError("A."), {"status": 200, "param": 5}, 500, fields(SERVER, param="5")),
    (HTTPException, "A.", {"status_code": 204}, 500, fields(SERVER)),
    (HTTPException, "A.", {"status_code": 409, "headers": ILLEGAL}, 409, fields(INVALID)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "message", "given", "status", "expected"), ODD)
def test_whatever_an_error_is_made_of_it_is_an_error_object(
    serve: Serve, kind: Any, message: object, given: dict[str, Any], status: int, expected: Json
) -> None:
    def complete(model: str, messages: Messages, body: Body) -> Iterator[str]:
        yield from body["items"]
        raise kind(message, **given)

    client = serve(complete)

    for stream, items in ((False, []), (False, ["one"]), (True, [])):
        response = ask(client, stream=stream, items=items)
        assert (response.status_code, error_of(response)) == (status, expected)
        assert not {"x-a", "x-b", "x-d"} & response.headers.keys()
        assert (response.headers.get("retry-after") == "3") is (given.get("headers") is RETRY)
    assert failed_stream(ask(client, stream=True, items=["one"]))[1] == expected


class Unreadable:
    """An item that fails when the server reads it."""

    @property
    def content(self) -> str:
        raise RuntimeError(SECRET)


async def crash(model: str, messages: Messages, body: Body) -> str:
    raise RuntimeError(f"Cannot connect to {SECRET}") from OSError(SECRET)


def crash_in_a_thread(model: str, messages: Messages, body: Body) -> str:
    raise ExceptionGroup(SECRET, [OSError(SECRET)])


async def crash_in_an_async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    if messages:
        raise KeyError(SECRET)
    yield "never"


async def yield_unreadable(model: str, messages: Messages, body: Body) -> AsyncIterator[Unreadable]:
    yield Unreadable()


async def crash_at_the_end(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    try:
        yield "one"
    finally:
        raise OSError(SECRET)


AT_ONCE: dict[str, Callable[..., object]] = {
    "async function": crash,
    "function": crash_in_a_thread,
    "async generator": crash_in_an_async_generator,
    "generator": yielding(ValueError(SECRET)),
    "async unreadable item": yield_unreadable,
    "unreadable item": yielding(Unreadable()),
    "a wrong configuration": yielding(ImproperlyConfiguredException(SECRET)),
}
LATER: dict[str, Callable[..., object]] = {
    "generator after an item": yielding("one", ValueError(SECRET)),
    "async generator at its end": crash_at_the_end,
}
CRASHES = [(name, stream) for name in (*AT_ONCE, *LATER) for stream in (False, True) if name in AT_ONCE or not stream]


@pytest.mark.parametrize(("crash", "stream"), CRASHES)
def test_an_unexpected_exception_is_a_500_whose_traceback_only_the_log_has(
    serve: Serve, caplog: pytest.LogCaptureFixture, crash: str, stream: bool
) -> None:
    response = ask(serve((AT_ONCE | LATER)[crash]), stream=stream)

    assert (response.status_code, error_of(response)) == (500, UNEXPECTED)
    assert "hunter2" not in str(response.headers)
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    fact = "What the model answered cannot be sent" if "unreadable" in crash else "A request failed"
    assert (record.getMessage(), vars(record)["fields"]) == (fact, {"model": "test"})
    assert record.exc_info is not None
    assert SECRET in str(record.exc_info[1])


@pytest.mark.parametrize("crash", LATER)
def test_an_unexpected_exception_in_a_stream_is_an_error_frame(
    serve: Serve, caplog: pytest.LogCaptureFixture, crash: str
) -> None:
    client = serve(LATER[crash])

    chunks, error = failed_stream(ask(client, stream=True))

    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == ["", "one"]
    assert error == UNEXPECTED
    assert SECRET in caplog.text
    with openai_of(client).chat.completions.stream(**ASKS) as stream, pytest.raises(APIError, match=SERVER_ERROR):
        stream.until_done()


def event(text: str) -> object:
    return SimpleNamespace(to_event_dict=lambda: {"type": text})


def tool_call(arguments: str) -> Json:
    call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": arguments}}
    return {"choices": [{"delta": {"tool_calls": [call]}}]}


texts = st.text(st.sampled_from('ab \n"\\é€😀\u2028\u0085\x00'), max_size=4)
items = st.lists(
    texts | st.builds(Delta, reasoning_content=texts) | texts.map(event) | texts.map(tool_call), max_size=5
)
ways = st.sampled_from(WAYS)
meant_errors = st.builds(
    CompletionError,
    texts,
    status=st.integers(400, 599),
    type=st.none() | texts,
    code=st.none() | texts,
    param=st.none() | texts,
)
exceptions = st.sampled_from([ValueError, KeyError, RuntimeError, StopIteration, StopAsyncIteration, TimeoutError])
invalid_items = st.sampled_from(
    [
        Unreadable(),
        *({"choices": [choice]} for choice in (None, 1, "a", {"delta": 1}, {"message": 1})),
        {"choices": [{"delta": {"content": object()}}]},
        {"choices": [], "x_field": object()},
    ]
)


@given(items=items, failure=meant_errors | exceptions.map(lambda kind: kind(SECRET)) | invalid_items, way=ways)
def test_a_failure_in_a_stream_comes_after_all_items_before_it(
    scripted: Scripted, items: list[object], failure: object, way: Way
) -> None:
    *expected, finish = scripted.chunks(way("Well, ", *items))
    assert finish["choices"][0]["finish_reason"]

    failing = way("Well, ", *items, failure, "never")
    chunks, error = failed_stream(scripted.ask(failing, stream=True))

    assert [(chunk["choices"], chunk.get("event")) for chunk in chunks] == [
        (chunk["choices"], chunk.get("event")) for chunk in expected
    ]
    assert error == error_from(failure)
    whole = scripted.ask(failing)
    assert (whole.status_code, error_of(whole)) == (getattr(failure, "status", 500), error)


def error_from(failure: object) -> Json:
    """Return the error object that a client gets for what a service raised or yielded."""
    if not isinstance(failure, CompletionError):
        return UNEXPECTED
    return {"message": failure.message, "type": failure.type, "param": failure.param, "code": failure.code}


def failed_stream(response: Response) -> tuple[list[Json], Json]:
    """Return the chunks of a stream, and the error after them, which only `[DONE]` follows."""
    assert response.status_code == 200, response.text
    assert "hunter2" not in response.text
    *frames, error, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert json.loads(error.removeprefix("data: ")).keys() == {"error"}
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    return chunks, json.loads(error.removeprefix("data: "))["error"]


@pytest.mark.parametrize("error", [asyncio.CancelledError("secret"), SystemExit(1)], ids=repr)
def test_an_exception_that_ends_other_programs_ends_one_stream(scripted: Scripted, error: BaseException) -> None:
    async def generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        yield "Hello"
        raise error

    chunks, failure = failed_stream(scripted.ask(generator, stream=True))

    assert ["Hello" in str(chunk) for chunk in chunks] == [False, True]
    assert failure == error_of(scripted.ask(generator)) == UNEXPECTED


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_an_exception_that_stops_an_event_loop_does_not_stop_the_server_from_a_task(
    error: type[BaseException], stream: bool
) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    async def grouped(model: str, messages: Messages, body: Body) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
        return "never"

    async def spawned(model: str, messages: Messages, body: Body) -> str:
        task = asyncio.create_task(fail())
        asyncio.create_task(fail()).cancel()  # before it has begun
        await task
        return "never"

    for model in (grouped, spawned):
        with live(model) as client:
            for _ in range(2):  # the server still answers
                with pytest.raises(InternalServerError) as caught:
                    client.chat.completions.create(**ASKS, stream=stream)
                assert caught.value.body == UNEXPECTED
                assert caught.value.request_id


def test_an_error_in_listing_the_models_is_a_500(serve: Serve) -> None:
    client = serve(SimpleNamespace(complete=yielding(), list_models=lambda: 1 // 0))
    for response in (client.get("/v1/models"), client.get("/v1/models/a"), ask(client)):
        assert (response.status_code, error_of(response)) == (500, UNEXPECTED)
