"""Logs: one line for each request, which says how it ended and nothing of what was said."""

import json

import pytest

from schemas.chat import Json, Usage
from tests.conftest import Serve, ask, yielding

SECRET = "sk-do-not-log"  # noqa: S105 - a text to look for
MODEL = yielding("Hello", " there", Usage(prompt_tokens=3, completion_tokens=2))
Captured = pytest.CaptureFixture[str]


def lines_of(captured: Captured, logger: str = "app.requests") -> list[Json]:
    """Return the lines of a logger that were written since the last call."""
    lines = [json.loads(line) for line in captured.readouterr().err.splitlines()]
    return [line for line in lines if line["logger"] == logger]


def test_the_line_of_a_stream_says_how_long_it_took_and_how_it_ended(serve: Serve, capsys: Captured) -> None:
    response = ask(serve(MODEL, log_format="json"), stream=True)
    (line,) = lines_of(capsys)
    assert line["request_id"] == response.headers["x-request-id"]
    assert (line["level"], line["message"]) == ("INFO", "POST /v1/chat/completions 200")
    assert (line["model"], line["stream"], line["chunks"], line["ended"]) == ("test", True, 4, "done")
    assert line["usage"] == {"prompt_tokens": 3, "completion_tokens": 2}
    assert 0 < line["first_chunk"] <= line["duration"] < 60


def test_the_line_of_a_failure_names_the_error_and_no_key_or_message(serve: Serve, capsys: Captured) -> None:
    client = serve(yielding("Hello", ValueError("at fault")), log_format="json")
    client.headers.update({"authorization": f"Bearer {SECRET}", "cookie": SECRET})
    for response in (ask(client, SECRET, stream=True), ask(client, model="nope", user=SECRET), client.get("/nope")):
        assert response.headers["x-request-id"]
    lines = lines_of(capsys)
    assert SECRET not in str(lines)
    ends = [(line["status"], line.get("ended"), line["error"]) for line in lines]
    assert ends == [(200, "error", "server_error"), (404, "rejected", "model_not_found"), (404, None, "not_found")]
