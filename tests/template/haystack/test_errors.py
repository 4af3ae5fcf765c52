"""Errors in components: each is sent once and logged once, without anything of an upstream that is not the client's."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeAlias

import httpx
import openai
import pytest
from haystack import Pipeline
from haystack.components.agents import Agent
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import FallbackChatGenerator
from haystack.dataclasses import ChatMessage

from app.errors import CompletionError
from app.haystack.model import HaystackModel, haystack_component, haystack_pipeline
from schemas.chat import Json
from tests.conftest import Serve, ask, chunks_of, error_of, live
from tests.template.conftest import UNEXPECTED, error_object
from tests.template.haystack.generators import AsyncGenerator, Kind, Step, each_kind, each_mode, says

SECRET = "sk-1234 of the organization org-5678"  # noqa: S105 - which no client may ever read
REQUEST: Any = httpx.Request(  # newer versions of OpenAI's client have an httpx of their own
    "POST", "https://upstream.test/v1/chat/completions"
)

Place: TypeAlias = Callable[..., HaystackModel]


def alone(kind: Kind, *steps: Step | str) -> HaystackModel:
    return haystack_component(kind(says(*steps)))


def behind_a_prompt(kind: Kind, *steps: Step | str) -> HaystackModel:
    pipeline = Pipeline()
    pipeline.add_component("prompt", ChatPromptBuilder([ChatMessage.from_user("{{ query }}")]))
    pipeline.add_component("llm", kind(says(*steps)))
    pipeline.connect("prompt", "llm")
    return haystack_pipeline(pipeline)


def in_an_agent(kind: Kind, *steps: Step | str) -> HaystackModel:
    return haystack_component(Agent(chat_generator=kind(says(*steps))))


def behind_fallbacks(kind: Kind, *steps: Step | str) -> HaystackModel:
    """Return the last of several generators, the others of which fail in another way."""
    failing = kind(says(CompletionError("Another error.", status=418)))
    return haystack_component(FallbackChatGenerator([failing, FallbackChatGenerator([failing, kind(says(*steps))])]))


each_place = pytest.mark.parametrize("place", [alone, behind_a_prompt, in_an_agent, behind_fallbacks])


def upstream_error(kind: type[openai.APIStatusError], status: int, body: object, **headers: str) -> openai.APIError:
    """Return an error as OpenAI's client raises it."""
    response: Any = httpx.Response(status, request=REQUEST, headers=headers)
    return kind(f"Error code: {status} - {body}", response=response, body=body)


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the server logs; Haystack may log more."""
    return [record for record in caplog.records if record.name.startswith("app")]


@each_mode
@each_kind
@each_place
def test_a_component_that_fails_at_once_is_a_500_with_its_traceback_in_the_log_once(
    serve: Serve, caplog: pytest.LogCaptureFixture, place: Place, kind: Kind, stream: bool
) -> None:
    error = RuntimeError(f"No answer with {SECRET}")
    error.__cause__ = OSError("the first of all causes")

    response = ask(serve(place(kind, error)), stream=stream)

    assert (response.status_code, error_of(response)) == (500, UNEXPECTED)
    (record,) = logged(caplog)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)
    assert caplog.text.count(f"RuntimeError: No answer with {SECRET}") == 1
    assert "in taken" in caplog.text
    assert "the first of all causes" in caplog.text
    assert "PipelineRuntimeError" not in caplog.text


@each_kind
@each_place
def test_a_component_that_fails_later_sends_what_it_said_and_one_error(
    serve: Serve, caplog: pytest.LogCaptureFixture, place: Place, kind: Kind
) -> None:
    client = serve(place(kind, "One", " two", ValueError(SECRET)))

    *chunks, error = chunks_of(ask(client, stream=True))  # and then [DONE]

    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == ["", "One", " two"]
    assert not [chunk for chunk in chunks if chunk["choices"][0]["finish_reason"]]
    assert error == {"error": UNEXPECTED}
    assert len(logged(caplog)) == 1
    whole = ask(client)
    assert (whole.status_code, error_of(whole)) == (500, UNEXPECTED)


@each_kind
@each_place
def test_an_error_for_the_client_reaches_it_as_it_is(
    serve: Serve, caplog: pytest.LogCaptureFixture, place: Place, kind: Kind
) -> None:
    error = CompletionError("Too long.", status=413, code="too_long", param="messages")
    expected = {"message": "Too long.", "type": "invalid_request_error", "param": "messages", "code": "too_long"}

    for stream in (False, True):
        response = ask(serve(place(kind, error)), stream=stream)
        assert (response.status_code, error_of(response)) == (413, expected)
    later = ask(serve(place(kind, "One", error)), stream=True)
    assert chunks_of(later)[-1] == {"error": expected}
    assert not logged(caplog)


TOP_K = error_object("Unknown parameter: top_k", param="top_k", code="unknown")
REFUSED = error_object("The upstream model refused the request.")
FAILED = error_object("The upstream model failed.", type="server_error", code="upstream_error")
SLOW = error_object("The upstream model took too long.", type="server_error", code="timeout")
OVER = "The upstream model is over its rate limit. Try again later."
LIMITED = error_object(OVER, type="rate_limit_error", code="rate_limit_exceeded")
HIDDEN = {"message": SECRET, "type": SECRET, "param": SECRET, "code": SECRET}
NUMBERS = {"message": "Too long.", "param": 400, "code": {"a": 1}}
WITHOUT_NUMBERS = {**REFUSED, "message": "Too long."}
UPSTREAM_ERRORS: dict[str, tuple[openai.APIError, int, Json]] = {
    "bad request": (upstream_error(openai.BadRequestError, 400, TOP_K), 400, TOP_K),
    "too large": (upstream_error(openai.APIStatusError, 413, TOP_K), 413, TOP_K),
    "unprocessable": (upstream_error(openai.UnprocessableEntityError, 422, TOP_K), 422, TOP_K),
    "no body": (upstream_error(openai.BadRequestError, 400, None), 400, REFUSED),
    "a body of another form": (upstream_error(openai.BadRequestError, 400, "<p>No</p>"), 400, REFUSED),
    "a message of another form": (upstream_error(openai.BadRequestError, 400, {"message": ["No"]}), 400, REFUSED),
    "a code of another form": (upstream_error(openai.BadRequestError, 400, NUMBERS), 400, WITHOUT_NUMBERS),
    "its key": (upstream_error(openai.AuthenticationError, 401, HIDDEN), 502, FAILED),
    "its account": (upstream_error(openai.PermissionDeniedError, 403, HIDDEN), 502, FAILED),
    "its model": (upstream_error(openai.NotFoundError, 404, HIDDEN), 502, FAILED),
    "a conflict": (upstream_error(openai.ConflictError, 409, HIDDEN), 502, FAILED),
    "its server": (upstream_error(openai.InternalServerError, 500, HIDDEN), 502, FAILED),
    "rate limit": (upstream_error(openai.RateLimitError, 429, HIDDEN), 429, LIMITED),
    "timeout": (openai.APITimeoutError(REQUEST), 504, SLOW),
    "connection": (openai.APIConnectionError(message=SECRET, request=REQUEST), 502, FAILED),
    "in a stream": (openai.APIError(SECRET, REQUEST, body=HIDDEN), 502, FAILED),
}  # fmt: skip


@each_mode
@pytest.mark.parametrize("name", UPSTREAM_ERRORS)
def test_an_upstreams_error_tells_the_client_about_its_request_alone(
    serve: Serve, caplog: pytest.LogCaptureFixture, name: str, stream: bool
) -> None:
    error, status, expected = UPSTREAM_ERRORS[name]

    response = ask(serve(alone(AsyncGenerator, error)), stream=stream)

    assert (response.status_code, error_of(response)) == (status, expected)
    if status in (400, 413, 422):
        assert not logged(caplog)
    else:
        (record,) = logged(caplog)
        assert (record.levelname, record.getMessage()) == ("ERROR", "The upstream model failed")
        assert type(error).__name__ in caplog.text


@each_place
@pytest.mark.parametrize("name", ["bad request", "its key", "rate limit", "timeout"])
def test_an_upstreams_error_is_the_same_in_each_place_and_in_mid_stream(serve: Serve, place: Place, name: str) -> None:
    error, status, expected = UPSTREAM_ERRORS[name]

    response = ask(serve(place(AsyncGenerator, error)), stream=True)
    assert (response.status_code, error_of(response)) == (status, expected)
    assert chunks_of(ask(serve(place(AsyncGenerator, "One", error)), stream=True))[-1] == {"error": expected}


def provider_error(module: str, name: str, status: int, **fields: Any) -> Exception:
    """Return an error like one of a provider's package, of which none is installed here."""
    base = type(name, (Exception,), {"__module__": module})
    error: Exception = type("ClientError", (base,), {"__module__": module})(SECRET)
    error.__dict__.update(fields, **{"code" if module.startswith("google") else "status_code": status})
    return error


def wrapped(error: Exception) -> Exception:
    """Return the error that Google's generator raises from another."""
    wrapper = RuntimeError(f"Error in Google Gen AI chat generation: {error}")
    wrapper.__cause__ = error
    return wrapper


@each_mode
@pytest.mark.parametrize(
    ("status", "expected", "fields"),
    [(400, 400, {"message": "Too hot."}), (401, 502, FAILED), (429, 429, LIMITED), (503, 502, FAILED)],
)
def test_errors_of_other_providers_are_told_like_those_of_openai(
    serve: Serve, status: int, expected: int, fields: Json, stream: bool
) -> None:
    details = {"error": {"message": "Too hot.", "status": "INVALID"}}
    of_google = wrapped(provider_error("google.genai.errors", "APIError", status, details=details))
    of_anthropic = provider_error("anthropic._exceptions", "APIError", status, body=details)

    for error in (of_google, of_anthropic):
        response = ask(serve(alone(AsyncGenerator, error)), stream=stream)
        assert response.status_code == expected
        assert fields.items() <= error_of(response).items()
    response = ask(serve(alone(AsyncGenerator, provider_error("ollama._types", "ResponseError", status))))
    assert (response.status_code, SECRET in response.text) == (expected, False)


@each_mode
@each_kind
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, StopIteration, GeneratorExit, asyncio.CancelledError])
def test_a_component_that_ends_other_programs_ends_one_completion(
    error: type[BaseException], kind: Kind, stream: bool
) -> None:
    pipeline = Pipeline()
    pipeline.add_component("llm", kind(says(error())))
    with live(haystack_pipeline(pipeline)) as client:
        for _ in range(2):
            with pytest.raises(openai.InternalServerError) as caught:
                client.chat.completions.create(
                    model="test", messages=[{"role": "user", "content": "Hi"}], stream=stream
                )
            assert caught.value.body == UNEXPECTED
            assert caught.value.request_id
