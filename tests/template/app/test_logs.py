"""Logs: the line of each request, its id, and the form of all lines."""

import asyncio
import json
import logging
import re
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from unittest.mock import ANY

import pytest
from httpx import Response
from litestar import get
from litestar.di import Provide
from litestar.exceptions import NotAuthorizedException

from app.errors import CompletionError, OverloadedError
from app.services import Body, Hooks, Messages
from schemas.chat import ChatCompletion, Choice, Message, Usage
from tests.conftest import Client, Serve, ask, openai_of, returning, yielding
from tests.test_logs import Captured, lines_of

PATH = "/v1/chat/completions"
SECRET = "sk-do-not-tell"  # noqa: S105 - a word to look for
LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"]
log = logging.getLogger("app.mine")

REQUESTS: dict[str, tuple[Callable[[Client], Response], int, str | None, str | None]] = {
    "completion": (ask, 200, None, "done"),
    "stream": (lambda client: ask(client, stream=True), 200, None, "done"),
    "models": (lambda client: client.get("/v1/models"), 200, None, None),
    "model": (lambda client: client.get("/v1/models/test"), 200, None, None),
    "schema": (lambda client: client.get("/schema/openapi.json"), 200, None, None),
    "own route": (lambda client: client.get("/mine"), 200, None, None),
    "unknown path": (lambda client: client.get("/nope"), 404, "not_found", None),
    "wrong method": (lambda client: client.get(PATH), 405, "method_not_allowed", None),
    "unknown model": (lambda client: ask(client, model=SECRET), 404, "model_not_found", "rejected"),
    "invalid": (lambda client: ask(client, n=SECRET), 400, "invalid_request_error", "rejected"),
    "malformed": (lambda client: client.post(PATH, content=b"{"), 400, "invalid_request_error", "rejected"),
    "no json": (lambda client: client.post(PATH, data={"a": "b"}), 415, "unsupported_media_type", "rejected"),
    "too large": (lambda client: ask(client, SECRET * 1000), 413, "request_too_large", "rejected"),
    "failed": (lambda client: ask(client, "fail"), 500, "server_error", "error"),
    "failed stream": (lambda client: ask(client, "fail late", stream=True), 200, "server_error", "error"),
    "refused": (lambda client: ask(client, "refuse"), 402, "no_money", "error"),
    "overloaded": (lambda client: ask(client, "full"), 503, "overloaded", "rejected"),
}


async def model(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    content = str(messages[0]["content"])
    if content == "refuse":
        raise CompletionError(SECRET, status=402, code="no_money")
    if content == "full":
        raise OverloadedError
    if "late" in content:
        yield "Hello!"
    if content.startswith("fail"):
        raise ValueError("at fault")
    if content.startswith("hang"):
        await asyncio.Event().wait()
    yield "Hello!"


@get("/mine")
async def mine() -> str:
    return "Hello!"


@pytest.mark.parametrize(("act", "status", "error", "ended"), REQUESTS.values(), ids=REQUESTS)
def test_each_request_is_one_line_with_the_id_of_its_response_and_without_a_key_or_a_message(
    serve: Serve,
    capsys: Captured,
    act: Callable[[Client], Response],
    status: int,
    error: str | None,
    ended: str | None,
) -> None:
    client = serve(model, log_format="json", max_body_size=5000)
    client.app.register(mine)
    client.headers.update({"authorization": f"Bearer {SECRET}", "cookie": SECRET, "x-request-id": "mine-1.2_3"})
    client.params = client.params.set("key", SECRET)

    response = act(client)

    written = capsys.readouterr().err
    lines = [json.loads(line) for line in written.splitlines()]
    (line,) = [line for line in lines if line["logger"] == "app.requests"]
    assert (line["method"], line["path"]) == (response.request.method, response.request.url.path)
    assert (line["level"], line["status"], line.get("error"), line.get("ended")) == ("INFO", status, error, ended)
    assert line["duration"] > 0
    assert {line["request_id"] for line in lines} == {"mine-1.2_3"} == {*response.headers.get_list("x-request-id")}
    assert SECRET not in written


def test_the_line_of_a_stream_has_all_there_is_to_know_and_that_of_a_whole_completion_no_chunks(
    serve: Serve, capsys: Captured
) -> None:
    client = serve(yielding("Hello", " there", Usage(prompt_tokens=3, completion_tokens=2)), log_format="json")
    first = {"time": ANY, "level": "INFO", "logger": "app.requests", "request_id": ANY}
    request = {"message": "POST /v1/chat/completions 200", "method": "POST", "path": "/v1/chat/completions"}
    common = {"status": 200, "duration": ANY, "model": "test", "ended": "done"}
    usage = {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}

    ask(client, stream=True)
    completion = ask(client).json()

    stream, whole = lines_of(capsys)
    streaming = {"completion": ANY, "stream": True, "first_chunk": ANY, "chunks": 4}
    assert stream == first | request | common | streaming | usage
    assert whole == first | request | common | {"completion": completion["id"], "stream": False} | usage


CHOICE = Choice(message=Message(content="Hello!"))
REPORTED = [
    (ChatCompletion(choices=[CHOICE], usage=Usage(prompt_tokens=3, completion_tokens=2)), (3, 2)),
    ({"choices": [{"message": {"content": "!"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}, (3, 2)),
    ({"choices": [{"message": {"content": "!"}}], "usage": {"prompt_tokens": 3}}, (3, 0)),
    *(
        ({"choices": [{"message": {"content": "!"}}], "usage": usage}, None)
        for usage in ("many", {"prompt_tokens": "many"}, {"prompt_tokens": -1}, [1])
    ),
]


@pytest.mark.parametrize(("result", "expected"), REPORTED)
def test_usage_of_a_completion_is_logged_if_it_makes_sense(
    serve: Serve, capsys: Captured, result: object, expected: tuple[int, int] | None
) -> None:
    client = serve(returning(result), log_format="json")
    assert ask(client).status_code == ask(client, stream=True).status_code == 200
    usage = {"prompt_tokens": expected[0], "completion_tokens": expected[1]} if expected else None
    assert [line.get("usage") for line in lines_of(capsys)] == [usage, usage]


def test_a_hook_that_fails_is_an_error_and_a_dependency_that_refuses_a_rejection(
    serve: Serve, capsys: Captured
) -> None:
    def fail(_: object) -> None:
        raise ValueError("at fault")

    def refuse() -> None:
        raise NotAuthorizedException("Who are you?")

    ask(serve(model, hooks=Hooks(pre_hook=fail), log_format="json"))
    dependencies = {"completion_service": Provide(refuse, sync_to_thread=False)}
    ask(serve(model, dependencies=dependencies, log_format="json"))

    ends = [(line["status"], line["ended"], line["error"]) for line in lines_of(capsys)]
    assert ends == [(500, "error", "server_error"), (401, "rejected", "invalid_api_key")]


def test_a_completion_beyond_the_limit_is_rejected(serve: Serve, capsys: Captured) -> None:
    def asking_again(model: str, messages: Messages, body: Body) -> str:
        return str(ask(full).status_code)

    full = serve(asking_again, max_concurrent_completions=1, log_format="json")
    ask(full)
    assert [(line["status"], line["ended"]) for line in lines_of(capsys)] == [(503, "rejected"), (200, "done")]


@pytest.mark.parametrize(("content", "stream"), [("hang", False), ("hang", True), ("hang late", True)])
def test_a_completion_that_takes_too_long_ends_with_timeout(
    serve: Serve, capsys: Captured, content: str, stream: bool
) -> None:
    ask(serve(model, completion_timeout=0.05, log_format="json"), content, stream=stream)
    assert [(line["ended"], line["error"]) for line in lines_of(capsys)] == [("timeout", "timeout")]


def test_a_path_is_cut_off_at_200_characters_and_cannot_forge_a_line(serve: Serve, capsys: Captured) -> None:
    client = serve(model, log_format="text")
    client.get("/" + "a" * 5000)
    client.get("/a%0AINFO%20forged%E2%80%A8")

    long, forged = capsys.readouterr().err.splitlines()
    assert f"GET /{'a' * 199} 404" in long
    assert "GET /a%0AINFO%20forged%E2%80%A8 404" in forged


def test_text_escapes_what_a_prompt_brings_into_an_exception_or_a_message(serve: Serve, capsys: Captured) -> None:
    def fail(model: str, messages: Messages, body: Body) -> str:
        log.warning("Asked: %s", messages[0]["content"])
        raise ValueError(messages[0]["content"])

    ask(serve(fail, log_format="text"), "\x1b[2J\r\n2026-01-01 INFO [-] app: forged\x00\x9b\u2028\u202e\ttext é")

    written = capsys.readouterr().err
    lines = written.splitlines()
    assert not [char for char in written if not char.isprintable() and char != "\n"]
    escaped = r"\x1b[2J\r\n2026-01-01 INFO [-] app: forged\x00\x9b\u2028\u202e\ttext é"
    (message,) = [line for line in lines if f"app.mine: Asked: {escaped}" in line]
    assert message[:2] == "20"
    below = lines[lines.index("  Traceback (most recent call last):") :]
    assert r"  ValueError: \x1b[2J\r" in below
    assert r"  2026-01-01 INFO [-] app: forged\x00\x9b\u2028\u202e\ttext é" in below


def test_a_line_of_text_has_the_same_fields(serve: Serve, capsys: Captured) -> None:
    ask(serve(yielding("Hello!"), log_format="text"), stream=True)

    assert re.search(
        r" INFO \[req_\w+\] app.requests: POST /v1/chat/completions 200 duration=[\d.]+ model=test "
        r"completion=chatcmpl-\w+ stream=True first_chunk=[\d.]+ chunks=3 ended=done\n$",
        capsys.readouterr().err,
    )


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_probes_are_logged_at_debug_unless_they_fail(serve: Serve, capsys: Captured, path: str) -> None:
    class Loading:
        loading = True
        complete = staticmethod(model)

    for served, level in ((model, "INFO"), (model, "DEBUG"), (Loading(), "INFO")):
        serve(served, log_format="json", log_level=level).get(path)

    expected = [("DEBUG", 200), ("INFO", 503)] if path == "/ready" else [("DEBUG", 200)]
    assert [(line["level"], line["status"]) for line in lines_of(capsys)] == expected


@pytest.mark.parametrize("sent", ["a", "A" * 128, "0", "...", "req_1"])
def test_an_id_of_sane_form_is_kept(serve: Serve, sent: str) -> None:
    client = serve(model)
    client.headers["x-request-id"] = sent
    assert client.get("/v1/models").headers["x-request-id"] == sent
    completion = openai_of(client).chat.completions.create(model="test", messages=[{"role": "user", "content": "Hi"}])
    assert completion._request_id == sent


@pytest.mark.parametrize("sent", [b"", b"A" * 129, b"a b", b"a/b", b"a\tb", b"<script>", b"a,b", b"\xff", b"a:b"])
def test_any_other_id_is_replaced_by_a_new_one(serve: Serve, sent: bytes) -> None:
    client = serve(model)
    ids = [client.get("/v1/models", headers=[(b"x-request-id", sent)]).headers["x-request-id"] for _ in range(2)]
    assert ids[0] != ids[1]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{16,128}", each) for each in ids)


def test_lines_that_a_service_logs_have_the_id_of_the_request(serve: Serve, capsys: Captured) -> None:
    def in_a_thread(model: str, messages: Messages, body: Body) -> Iterator[str]:
        log.info("from a thread")
        yield "Hello!"

    async def on_the_loop(model: str, messages: Messages, body: Body) -> str:
        log.info("from the loop")
        return "Hello!"

    for service in (in_a_thread, on_the_loop):
        client = serve(service, log_format="json")
        ids = [ask(client, stream=stream).headers["x-request-id"] for stream in (False, True)]
        assert [line["request_id"] for line in lines_of(capsys, "app.mine")] == ids


@pytest.mark.parametrize("level", LEVELS)
def test_lines_below_the_level_are_not_written_and_others_once(serve: Serve, capsys: Captured, level: str) -> None:
    before = logging.getLogger().level, logging.getLogger().handlers[:]
    for _ in range(2):
        serve(model, log_format="json", log_level=level)
    for each in LEVELS:
        log.log(logging.getLevelNamesMapping()[each], "Hello, %s!", "you")

    assert [line["level"] for line in lines_of(capsys, "app.mine")] == LEVELS[LEVELS.index(level) :]
    assert (logging.getLogger().level, logging.getLogger().handlers) == before


def test_json_holds_any_text_and_fields_of_any_type(
    serve: Serve, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(model, log_format="json")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own cannot pass on half a character
    fields = {"huge": 2**70, "infinite": float("inf"), "path": Path("a"), "text": "é"}
    log.info("Hello, %s!", "\u2028\ud800\n")
    log.info("Hello!", extra={"fields": fields})

    plain, line = lines_of(capsys, "app.mine")
    assert plain.pop("time").endswith("+00:00")
    assert plain == {"level": "INFO", "logger": "app.mine", "request_id": "-", "message": "Hello, \u2028\ud800\n!"}
    assert (line["huge"], line["path"], line["text"]) == (2**70, "a", "é")


@pytest.mark.parametrize("name", ["app.mine", "uvicorn.error", "another"])
def test_a_traceback_of_any_logger_stands_in_the_one_line_of_json(
    serve: Serve, capsys: Captured, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(model, log_format="json")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # which leaves ours alone
    try:
        raise ValueError("at fault")
    except ValueError:
        logging.getLogger(name).exception("It failed")

    (line,) = lines_of(capsys, name)
    assert (line["level"], line["message"]) == ("ERROR", "It failed")
    assert line["traceback"].startswith("Traceback")
    assert line["traceback"].endswith("ValueError: at fault")


def test_pythons_warnings_are_lines_too(serve: Serve, capsys: Captured) -> None:
    logging.captureWarnings(False)  # as one of an earlier application ended with its test
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        serve(model, log_format="json")
        warnings.warn("never awaited", RuntimeWarning, stacklevel=1)
    (line,) = lines_of(capsys, "py.warnings")
    assert line["level"] == "WARNING"
    assert "RuntimeWarning: never awaited" in line["message"]


@pytest.mark.parametrize(("is_terminal", "first"), [(True, "2"), (False, "{")])
def test_the_form_is_text_on_a_terminal_and_json_elsewhere(
    serve: Serve, capsys: Captured, monkeypatch: pytest.MonkeyPatch, is_terminal: bool, first: str
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    serve(model)
    log.info("Hello!")
    assert capsys.readouterr().err.startswith(first)
