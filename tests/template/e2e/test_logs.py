"""What a server writes: nothing but JSON, and one line for each request."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.template.e2e.connection import PATH, Connection, chat
from tests.template.e2e.endings import TIMEOUT, WAYS, Way
from tests.template.e2e.failing import SECRET
from tests.template.e2e.server import Server


@pytest.fixture(scope="module")
def logging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that logs everything."""
    settings = {"COMPLETION_TIMEOUT": str(TIMEOUT), "LOG_LEVEL": "DEBUG"}
    with Server.with_own_models(tmp_path_factory.mktemp("logging") / "log", **settings) as running:
        yield running


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_line_of_a_request_says_how_it_ended(logging: Server, key: str, way: Way, stream: bool) -> None:
    way.act(logging, way.model, key, stream)

    (line,) = logging.lines_of(key)
    assert (line["method"], line["path"], line["level"]) == ("POST", PATH, "INFO")
    assert line["ended"] == way.ended
    assert line.get("model") == (way.model if way.listed else None)
    assert line.get("stream") == (stream if way.listed else None)
    assert ("error" in line) == (way.ended not in ("done", "client_left"))


def test_a_stream_of_which_nothing_was_read_is_still_one_line(logging: Server, key: str) -> None:
    WAYS["left before the first item"].act(logging, "late-async-generator", key, True)

    (line,) = logging.lines_of(key)
    assert (line["status"], line["chunks"], line["ended"]) == (499, 0, "client_left")


def test_other_requests_are_one_line_too(logging: Server, key: str) -> None:
    paths = {"/v1/models": 200, "/health": 200, "/nope": 404, PATH: 405, "/schema/openapi.json": 200}

    for number, path in enumerate(paths):
        httpx.get(logging.url + path, headers={"x-request-id": f"{key}-{number}"})

    for number, (path, status) in enumerate(paths.items()):
        (line,) = logging.lines_of(f"{key}-{number}")
        assert (line["path"], line["status"]) == (path, status)
        assert "ended" not in line


def test_a_failure_is_one_line_with_its_traceback_and_another_for_the_request(logging: Server, key: str) -> None:
    WAYS["failed later"].act(logging, "crash-after", key, True)

    logging.lines_of(key)
    failure, request = [line for line in logging.lines if line["request_id"] == key]
    assert (failure["level"], failure["logger"]) == ("ERROR", "app.errors")
    assert SECRET in failure["traceback"]
    assert SECRET not in str(request)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_completion_that_the_end_of_the_server_cuts_off_is_an_error(tmp_path: Path, key: str, stream: bool) -> None:
    with Server.with_own_models(tmp_path / "log", SHUTDOWN_GRACE="0.1") as server, Connection(server.port) as client:
        client.post(chat("gated-generator", key, stream=stream), request_id=key)
        server.wait_for(key, "blocked")

        server.send(signal.SIGTERM)
        client.read_to_end()
        server.wait()

        (line,) = server.lines_of(key)
    assert (line["status"], line["ended"], line["error"]) == (200 if stream else 503, "error", "overloaded")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_line_from_the_first_to_the_last_is_json(tmp_path: Path, workers: int) -> None:
    untraced = {"COVERAGE_PROCESS_CONFIG": ""}  # of a tracer, Litestar's command says a line of its own
    with Server.with_own_models(tmp_path / "log", workers, LOG_FORMAT="json", **untraced) as server:
        httpx.get(f"{server.url}/v1/models")

    messages = [line["message"] for line in server.lines]
    assert server.log.endswith("\n")
    assert messages.count("Application startup complete.") == workers
    assert "GET /v1/models 200" in messages


def test_a_person_reads_text(tmp_path: Path) -> None:
    with Server.with_own_models(tmp_path / "log", LOG_FORMAT="text") as server:
        server.models()
        server.models()

    assert "INFO [-] uvicorn.error: Application startup complete." in server.log
    assert server.log.count("] app.requests: GET /v1/models 200 duration=") == 2
    assert "{" not in server.log
    assert "HTTP/1.1" not in server.log  # uvicorn would log it in its own way
