"""Errors in components: told once, logged once, and nothing of an upstream's that is not the client's."""

import logging
from typing import Any, TypeAlias

import httpx
import openai
import pytest
from haystack import component
from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage

from app.errors import CompletionError
from app.haystack.model import HaystackModel, haystack_component, haystack_pipeline
from schemas.chat import Json
from tests.conftest import SERVER_ERROR, Serve, ask, chunks_of, error_of
from tests.template.haystack.generators import AsyncGenerator, Step, SyncGenerator, calling, finished, says
from tests.template.haystack.test_pipelines import chained, prompted

Kind: TypeAlias = type[AsyncGenerator] | type[SyncGenerator]

EACH = pytest.mark.parametrize("stream", [False, True])
EACH_KIND = pytest.mark.parametrize("kind", [AsyncGenerator, SyncGenerator])
SECRET = "sk-1234 of the organization org-5678"  # noqa: S105 - which no client may ever read
REQUEST: Any = httpx.Request(  # newer versions of OpenAI's client have an httpx of their own
    "POST", "https://upstream.test/v1/chat/completions"
)
SERVER_FIELDS = {"message": SERVER_ERROR, "type": "server_error", "param": None, "code": None}


def alone(kind: Kind, *steps: Step | str) -> HaystackModel:
    return haystack_component(kind(says(*steps)))


def behind_a_prompt(kind: Kind, *steps: Step | str) -> HaystackModel:
    return haystack_pipeline(prompted(kind(says(*steps))))


def before_another(kind: Kind, *steps: Step | str) -> HaystackModel:
    return haystack_pipeline(chained(kind(says(*steps)), AsyncGenerator(says("Never"))))


def in_an_agent(kind: Kind, *steps: Step | str) -> HaystackModel:
    return haystack_component(Agent(chat_generator=kind(says(*steps))))


EACH_PLACE = pytest.mark.parametrize("model_of", [alone, behind_a_prompt, in_an_agent])


def caused(error: Exception, cause: Exception) -> Exception:
    """An error as `raise … from …` makes it."""
    error.__cause__ = cause
    return error


def upstream(kind: type[openai.APIStatusError], status: int, body: object, **headers: str) -> openai.APIStatusError:
    """An error as OpenAI's client raises it."""
    response: Any = httpx.Response(
        status, request=REQUEST, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    return kind(f"Error code: {status} - {body}", response=response, body=body)


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the server says of it; Haystack may say more."""
    return [record for record in caplog.records if record.name.startswith("app")]


def told(model: HaystackModel, serve: Serve, *, stream: bool) -> tuple[int, Json]:
    response = ask(serve(model), stream=stream)
    assert SECRET not in response.text
    return response.status_code, error_of(response)


@EACH
@EACH_KIND
@pytest.mark.parametrize("model_of", [alone, behind_a_prompt, before_another, in_an_agent])
def test_a_component_that_fails_at_once_is_a_500_with_its_traceback_in_the_log_once(
    serve: Serve, caplog: pytest.LogCaptureFixture, model_of: Any, kind: Kind, stream: bool
) -> None:
    model = model_of(kind, caused(RuntimeError(f"No answer with {SECRET}"), OSError("the first of all causes")))

    assert told(model, serve, stream=stream) == (500, SERVER_FIELDS)

    (record,) = logged(caplog)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)
    assert caplog.text.count(f"RuntimeError: No answer with {SECRET}") == 1
    assert "in _spoken" in caplog.text
    assert "the first of all causes" in caplog.text


@EACH_KIND
@EACH_PLACE
def test_a_component_that_fails_in_mid_stream_sends_what_it_said_and_one_error(
    serve: Serve, caplog: pytest.LogCaptureFixture, model_of: Any, kind: Kind
) -> None:
    response = ask(serve(model_of(kind, "One", " two", ValueError(SECRET))), stream=True)

    *chunks, error = chunks_of(response)  # and then [DONE]
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == ["", "One", " two"]
    assert not [chunk for chunk in chunks if chunk["choices"][0]["finish_reason"]]
    assert error == {"error": SERVER_FIELDS}
    assert len(logged(caplog)) == 1


@EACH_KIND
@EACH_PLACE
def test_a_component_that_fails_in_the_middle_of_a_whole_answer_is_a_500(
    serve: Serve, model_of: Any, kind: Kind
) -> None:
    assert told(model_of(kind, "One", ValueError(SECRET)), serve, stream=False) == (500, SERVER_FIELDS)


@EACH
@EACH_KIND
@EACH_PLACE
def test_an_error_that_is_meant_for_the_client_reaches_it_as_it_is(
    serve: Serve, caplog: pytest.LogCaptureFixture, model_of: Any, kind: Kind, stream: bool
) -> None:
    model = model_of(kind, CompletionError("Too long.", status=413, code="too_long", param="messages"))

    fields = {"message": "Too long.", "type": "invalid_request_error", "param": "messages", "code": "too_long"}
    assert told(model, serve, stream=stream) == (413, fields)
    assert not logged(caplog)


@EACH_KIND
@EACH_PLACE
def test_an_error_that_is_meant_for_the_client_reaches_it_in_mid_stream(
    serve: Serve, model_of: Any, kind: Kind
) -> None:
    response = ask(serve(model_of(kind, "One", CompletionError("Enough."))), stream=True)

    assert chunks_of(response)[-1] == {"error": {**SERVER_FIELDS, "message": "Enough."}}


@component
class Typist:
    """A component whose output is not what it says."""

    @component.output_types(replies=list[ChatMessage])
    def run(self, messages: list[ChatMessage]) -> Any:
        return messages


@EACH
def test_a_component_that_returns_the_wrong_thing_is_a_500(
    serve: Serve, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    model = haystack_component(Typist())

    assert told(model, serve, stream=stream) == (500, SERVER_FIELDS)
    assert "Typist" in caplog.text


FAULT = {"message": "Unknown parameter: top_k", "type": "invalid_request_error", "param": "top_k", "code": "unknown"}
FAILED = {"message": "The upstream model failed.", "type": "server_error", "param": None, "code": "upstream_error"}
SLOW = {"message": "The upstream model took too long.", "type": "server_error", "param": None, "code": "timeout"}
LIMITED = {
    "message": "The upstream model is over its rate limit. Try again later.",
    "type": "rate_limit_error",
    "param": None,
    "code": "rate_limit_exceeded",
}
REFUSED = {**FAULT, "message": "The upstream model refused the request.", "param": None, "code": None}
HIDDEN = {"message": SECRET, "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
UPSTREAM: dict[str, tuple[openai.APIError, int, Json]] = {
    "the request": (upstream(openai.BadRequestError, 400, FAULT), 400, FAULT),
    "too large": (upstream(openai.APIStatusError, 413, FAULT), 413, FAULT),
    "unprocessable": (upstream(openai.UnprocessableEntityError, 422, FAULT), 422, FAULT),
    "no words": (
        upstream(openai.BadRequestError, 400, None),
        400,
        REFUSED,
    ),
    "the key": (upstream(openai.AuthenticationError, 401, HIDDEN), 502, FAILED),
    "the account": (upstream(openai.PermissionDeniedError, 403, HIDDEN), 502, FAILED),
    "the model": (upstream(openai.NotFoundError, 404, HIDDEN), 502, FAILED),
    "its server": (upstream(openai.InternalServerError, 500, HIDDEN), 502, FAILED),
    "the rate": (upstream(openai.RateLimitError, 429, HIDDEN), 429, LIMITED),
    "the time": (openai.APITimeoutError(REQUEST), 504, SLOW),
    "the way": (openai.APIConnectionError(message=SECRET, request=REQUEST), 502, FAILED),
    "a stream": (openai.APIError(SECRET, REQUEST, body=HIDDEN), 502, FAILED),
}  # fmt: skip


@EACH
@EACH_PLACE
@pytest.mark.parametrize("name", UPSTREAM)
def test_of_an_upstream_s_error_the_client_is_told_what_it_may_know(
    serve: Serve, model_of: Any, name: str, stream: bool
) -> None:
    error, status, fields = UPSTREAM[name]

    assert told(model_of(AsyncGenerator, error), serve, stream=stream) == (status, fields)


@pytest.mark.parametrize("name", UPSTREAM)
def test_an_upstream_that_fails_in_mid_stream_is_one_error_frame(serve: Serve, name: str) -> None:
    error, _, fields = UPSTREAM[name]

    response = ask(serve(alone(AsyncGenerator, "One", error)), stream=True)

    assert chunks_of(response)[-1] == {"error": fields}
    assert SECRET not in response.text


@EACH
def test_the_failure_of_an_upstream_is_logged_once(
    serve: Serve, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    ask(serve(alone(AsyncGenerator, UPSTREAM["the key"][0])), stream=stream)

    (record,) = logged(caplog)
    assert (record.levelname, record.getMessage()) == ("ERROR", "The upstream model failed")
    assert "AuthenticationError" in caplog.text


@EACH
def test_a_request_that_an_upstream_refuses_is_not_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    ask(serve(alone(AsyncGenerator, UPSTREAM["the request"][0])), stream=stream)

    assert not logged(caplog)


@EACH
def test_an_upstream_s_wait_is_passed_on(serve: Serve, stream: bool) -> None:
    error = upstream(openai.RateLimitError, 429, HIDDEN, retry_after="7", x_account="secret")

    response = ask(serve(alone(AsyncGenerator, error)), stream=stream)

    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert "x-account" not in response.headers


@EACH
def test_the_next_request_is_answered_after_a_failure(serve: Serve, stream: bool) -> None:
    steps: list[Step] = [RuntimeError("Once")]
    generator = AsyncGenerator(lambda messages: [steps.pop()] if steps else says("Hello")(messages))
    client = serve(haystack_component(generator))

    assert ask(client, stream=stream).status_code == 500
    assert ask(client, stream=stream).status_code == 200


def test_an_agent_that_fails_after_a_tool_has_shown_what_it_did(serve: Serve) -> None:
    call = [calling(0, "{}", id="call_a", name="none"), finished("tool_calls")]
    model = haystack_component(Agent(chat_generator=AsyncGenerator(says("Wait.", *call, RuntimeError(SECRET)))))

    *chunks, error = chunks_of(ask(serve(model), stream=True))

    assert [chunk["event"]["data"]["description"] for chunk in chunks if "event" in chunk] == ["Calling none"]
    assert error == {"error": SERVER_FIELDS}
