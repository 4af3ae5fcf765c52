"""One line for each request, which says how it ended, and nothing of what was said."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import ANY

import pytest
from httpx import Response
from litestar import get
from litestar.di import Provide
from litestar.exceptions import NotAuthorizedException
from litestar.testing import TestClient

from app.app import create_app
from app.errors import CompletionError, OverloadedError
from app.registry import Pipelines
from app.services import Body, Hooks, Messages
from app.settings import Settings
from schemas.chat import ChatCompletion, Choice, Json, Message, Usage
from tests.conftest import Client, Serve, ask, returning, yielding

SECRET = "sk-do-not-tell"  # noqa: S105 - a word to look for
HEADERS = {"authorization": f"Bearer {SECRET}", "cookie": SECRET, "x-request-id": "mine"}
ANSWERS: dict[str, tuple[Callable[[Client], Response], Json]] = {
    "completion": (ask, {"status": 200, "ended": "done"}),
    "stream": (lambda client: ask(client, stream=True), {"status": 200, "ended": "done"}),
    "models": (lambda client: client.get("/v1/models"), {"status": 200}),
    "schema": (lambda client: client.get("/schema/openapi.json"), {"status": 200}),
    "unknown path": (lambda client: client.get("/nope"), {"status": 404, "error": "not_found"}),
    "wrong method": (
        lambda client: client.get("/v1/chat/completions"),
        {"status": 405, "error": "method_not_allowed"},
    ),
    "unknown model": (
        lambda client: ask(client, model=SECRET),
        {"status": 404, "error": "model_not_found", "ended": "rejected"},
    ),
    "invalid": (
        lambda client: ask(client, n=SECRET),
        {"status": 400, "error": "invalid_request_error", "ended": "rejected"},
    ),
    "too large": (
        lambda client: ask(client, SECRET * 1000),
        {"status": 413, "error": "request_too_large", "ended": "rejected"},
    ),
    "failed": (
        lambda client: ask(client, "fail"),
        {"status": 500, "error": "server_error", "ended": "error"},
    ),
    "failed stream": (
        lambda client: ask(client, "fail late", stream=True),
        {"status": 200, "error": "server_error", "ended": "error"},
    ),
    "refused": (lambda client: ask(client, "refuse"), {"status": 402, "error": "no_money", "ended": "error"}),
}


def model(model: str, messages: Messages, body: Body) -> Iterator[str]:
    if messages[0]["content"] == "refuse":
        raise CompletionError(SECRET, status=402, code="no_money")
    if messages[0]["content"] == "fail":
        raise ValueError("at fault")
    yield "Hello!"
    if messages[0]["content"] == "fail late":
        raise ValueError("at fault")


def lines(capsys: pytest.CaptureFixture[str]) -> list[Json]:
    """The lines of requests that were logged, each of which is JSON."""
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    return [line for line in logged if line["logger"] == "app.requests"]


def logging_client(serve: Serve) -> Client:
    """A client of a server that logs to what a test captures: it must start within the test."""
    return serve(model, max_body_size=5000, log_format="json")


@pytest.mark.parametrize(("act", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_each_request_is_one_line(
    serve: Serve, capsys: pytest.CaptureFixture[str], act: Callable[[Client], Response], expected: Json
) -> None:
    client = logging_client(serve)
    client.headers.update(HEADERS)

    request = act(client).request

    (line,) = lines(capsys)
    assert (line["method"], line["path"]) == (request.method, request.url.path)
    assert (line["level"], line["request_id"]) == ("INFO", "mine")
    assert 0 < line["duration"] < 60
    assert {name: line[name] for name in ("status", "error", "ended") if name in line} == expected


@pytest.mark.parametrize("act", [act for act, _ in ANSWERS.values()], ids=ANSWERS)
def test_no_line_tells_a_key_or_a_message(
    serve: Serve, capsys: pytest.CaptureFixture[str], act: Callable[[Client], Response]
) -> None:
    client = logging_client(serve)
    client.headers.update(HEADERS)
    client.params = client.params.set("key", SECRET)

    act(client)

    assert SECRET not in capsys.readouterr().err


def test_the_line_of_a_stream_tells_all_there_is_to_know(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    client = serve(yielding("Hello", " there", Usage(prompt_tokens=3, completion_tokens=2)), log_format="json")

    ask(client, stream=True)

    assert lines(capsys) == [
        {
            "time": ANY,
            "level": "INFO",
            "logger": "app.requests",
            "request_id": ANY,
            "message": "POST /v1/chat/completions 200",
            "method": "POST",
            "path": "/v1/chat/completions",
            "status": 200,
            "duration": ANY,
            "model": "test",
            "completion": ANY,
            "stream": True,
            "first_chunk": ANY,
            "chunks": 4,
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
            "ended": "done",
        }
    ]


@pytest.mark.parametrize(
    "result",
    [
        ChatCompletion(
            choices=[Choice(message=Message(content="Hello!"))], usage=Usage(prompt_tokens=3, completion_tokens=2)
        ),
        {"choices": [{"message": {"content": "!"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    ],
    ids=["struct", "dict"],
)
@pytest.mark.parametrize("streaming", [True, False])
def test_usage_is_known_whatever_reports_it(
    serve: Serve, capsys: pytest.CaptureFixture[str], result: object, streaming: bool
) -> None:
    ask(serve(returning(result), log_format="json"), stream=streaming)

    (line,) = lines(capsys)
    assert line["usage"] == {"prompt_tokens": 3, "completion_tokens": 2}


@pytest.mark.parametrize("usage", ["many", {"prompt_tokens": "many"}, {"prompt_tokens": -1}, [1]])
def test_usage_that_makes_no_sense_is_not_logged(
    serve: Serve, capsys: pytest.CaptureFixture[str], usage: object
) -> None:
    result = {"choices": [{"message": {"content": "!"}}], "usage": usage}

    assert ask(serve(returning(result), log_format="json")).status_code == 200

    (line,) = lines(capsys)
    assert "usage" not in line


def test_the_line_names_the_completion_as_its_client_knows_it(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    client = logging_client(serve)
    completion = ask(client).json()

    (line,) = lines(capsys)
    assert line["completion"] == completion["id"]
    assert "chunks" not in line
    assert "first_chunk" not in line


def test_a_pre_hook_that_fails_is_an_error(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    def failing(request: Any) -> None:
        raise ValueError("at fault")

    ask(serve(model, hooks=Hooks(pre_hook=failing), log_format="json"))

    (line,) = lines(capsys)
    assert (line["status"], line["ended"]) == (500, "error")


def test_a_completion_that_comes_while_the_server_drains_is_rejected(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    client = logging_client(serve)
    client.app.state.engine.draining = True

    ask(client)

    (line,) = lines(capsys)
    assert (line["status"], line["ended"], line["error"]) == (503, "rejected", "overloaded")


def test_a_completion_for_which_there_is_no_thread_is_rejected(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    async def no_thread(model: str, messages: Messages, body: Body) -> None:
        raise OverloadedError

    ask(serve(no_thread, log_format="json"))

    (line,) = lines(capsys)
    assert (line["status"], line["model"], line["ended"]) == (503, "test", "rejected")


def test_the_end_of_a_path_that_is_too_long_is_cut_off(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    client = logging_client(serve)
    client.get("/" + "a" * 5000)

    (line,) = lines(capsys)
    assert line["path"] == "/" + "a" * 199


def test_no_path_can_forge_a_line(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve(model, log_format="text").get("/a%0AINFO%20forged%E2%80%A8")

    (line,) = [line for line in capsys.readouterr().err.splitlines() if "app.requests" in line]
    assert "GET /a%0AINFO%20forged%E2%80%A8 404" in line


def test_a_person_reads_the_same_in_a_line_of_text(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    ask(serve(yielding("Hello!"), log_format="text"), stream=True)

    (line,) = [line for line in capsys.readouterr().err.splitlines() if "app.requests" in line]
    assert re.search(
        r" INFO \[req_\w+\] app.requests: POST /v1/chat/completions 200 duration=[\d.]+ model=test "
        r"completion=chatcmpl-\w+ stream=True first_chunk=[\d.]+ chunks=3 ended=done$",
        line,
    )


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_the_health_is_logged_only_if_somebody_wants_to_know(
    serve: Serve, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    serve(Pipelines(), log_format="json").get(path)
    assert lines(capsys) == []

    serve(Pipelines(), log_format="json", log_level="DEBUG").get(path)
    (line,) = lines(capsys)
    assert (line["level"], line["path"]) == ("DEBUG", path)


def test_a_server_that_is_not_ready_is_logged(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    client = logging_client(serve)
    client.app.state.engine.draining = True

    client.get("/ready")

    (line,) = lines(capsys)
    assert (line["level"], line["status"], line["error"]) == ("INFO", 503, "overloaded")


def test_lines_can_be_turned_off(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    ask(serve(model, log_format="json", log_level="WARNING"))

    assert lines(capsys) == []


def test_a_refusal_by_a_dependency_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise NotAuthorizedException("Who are you?")

    app = create_app(
        settings=Settings(log_format="json"),
        dependencies={"completion_service": Provide(refuse, sync_to_thread=False)},
    )
    with TestClient(app) as client:
        assert ask(client).status_code == 401

    (line,) = lines(capsys)
    assert (line["status"], line["ended"], line["error"]) == (401, "rejected", "invalid_api_key")


def test_routes_of_ones_own_are_logged_too(capsys: pytest.CaptureFixture[str]) -> None:
    @get("/mine")
    async def mine() -> str:
        return "Hello!"

    app = create_app(settings=Settings(log_format="json"))
    app.register(mine)
    with TestClient(app) as client:
        client.get("/mine")

    (line,) = lines(capsys)
    assert (line["path"], line["status"]) == ("/mine", 200)
