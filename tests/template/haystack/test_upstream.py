"""The model `chat`, and an upstream that says what no server of ours would."""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest
from litestar.testing import TestClient

from app.app import create_app
from app.haystack import upstream as upstream_module
from app.haystack.upstream import upstream_generator, upstream_parameters
from app.settings import Secret, Settings
from schemas.chat import Json
from tests.conftest import Client, ask, chunks_of, error_of, message_of

SECRET = "the key sk-12345 of the account acme"  # noqa: S105 - which an upstream may well name
FAILED = {"message": "The upstream model failed.", "type": "server_error", "param": None, "code": "upstream_error"}
COMPLETION: Json = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "small",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}],
}
CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1700000000,
    "model": "small",
    "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}],
}

each_mode = pytest.mark.parametrize("stream", [False, True])


class Upstream(ThreadingHTTPServer):
    """A server that answers all requests alike, and keeps the last of them."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.requests: list[tuple[str, Mapping[str, str], Json]] = []
        self.silent = Event()
        self.answers(COMPLETION)

    def answers(self, body: Json | str, status: int = 200, **headers: str) -> None:
        """What it answers from now on; it breaks off if it announces more than it says."""
        kind = "application/json" if isinstance(body, dict) else "text/html"
        self.data = (json.dumps(body) if isinstance(body, dict) else body).encode()
        self.status = status
        self.headers = {"content_type": kind, "content_length": str(len(self.data)), **headers}


class _Handler(BaseHTTPRequestHandler):
    server: Upstream

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers, body))
        if self.server.silent.is_set():
            self.rfile.read()  # until the client gives up
            return
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(self.server.data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(upstream: Upstream) -> Iterator[Client]:
    with client_of(upstream.url) as client:
        yield client


@contextmanager
def client_of(url: str, key: str = "") -> Iterator[Client]:
    """A client of the project's own application whose `chat` has this upstream."""
    settings = Settings(openai_model="small", openai_base_url=url, openai_api_key=Secret(key))
    with TestClient(create_app(settings=settings)) as client:
        yield client


def test_the_upstream_is_asked_for_the_model_of_the_settings(upstream: Upstream, client: Client) -> None:
    assert message_of(ask(client, model="chat"))["content"] == "Hello!"

    ((path, _, body),) = upstream.requests
    assert (path, body["model"]) == ("/v1/chat/completions", "small")


@pytest.mark.parametrize(("key", "expected"), [("sk-123", "Bearer sk-123"), ("", "Bearer none")])
def test_the_upstream_gets_its_key_and_never_the_client_s(upstream: Upstream, key: str, expected: str) -> None:
    with client_of(upstream.url, key) as client:
        client.headers["authorization"] = "Bearer the client's own"
        ask(client, model="chat")

    ((_, headers, _),) = upstream.requests
    assert headers["authorization"] == expected


@pytest.mark.anyio
@pytest.mark.parametrize("variable", [None, "", "https://elsewhere.example/v1"])
async def test_openai_itself_is_the_upstream_unless_the_settings_say_another(
    monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    if variable is not None:
        monkeypatch.setenv("OPENAI_BASE_URL", variable)  # which the settings have read, or a test has not wanted read

    generator = upstream_generator(Settings(openai_model="small"))
    await generator.warm_up_async()

    assert str(generator.async_client.base_url) == "https://api.openai.com/v1/"  # type: ignore[union-attr]  # just made
    await generator.close_async()


def test_a_request_s_own_fields_pass_but_those_that_the_generator_sends() -> None:
    body = {"model": "chat", "messages": [], "n": 1, "stream": True, "seed": None, "brand_new": {"a": [1]}}

    parameters = upstream_parameters(body)

    assert parameters == {"generation_kwargs": {"extra_body": {"seed": None, "brand_new": {"a": [1]}}}}


def test_more_than_one_answer_is_refused_and_the_upstream_not_asked(upstream: Upstream, client: Client) -> None:
    error = error_of(ask(client, model="chat", n=2))

    assert (error["type"], error["param"]) == ("invalid_request_error", "n")
    assert not upstream.requests


@each_mode
@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_upstream_says_of_the_request_reaches_the_client(
    upstream: Upstream, client: Client, status: int, stream: bool
) -> None:
    said = {"message": "Too long.", "type": "invalid_request_error", "param": "messages", "code": "too_long"}
    upstream.answers({"error": said}, status)

    response = ask(client, model="chat", stream=stream)

    assert response.status_code == status
    assert error_of(response) == said


@pytest.mark.parametrize("code", [400, {"a": 1}])
def test_a_code_and_a_param_that_are_no_strings_are_left_out(upstream: Upstream, client: Client, code: object) -> None:
    upstream.answers({"error": {"message": "Too long.", "type": "BadRequestError", "param": code, "code": code}}, 400)

    error = error_of(ask(client, model="chat"))

    assert (error["message"], error["param"], error["code"]) == ("Too long.", None, None)


@pytest.mark.parametrize(
    "body", [{"detail": [{"msg": "Too long."}]}, {"error": {"message": ["Too", "long"]}}, {"error": "No"}, "<p>No</p>"]
)
def test_a_refusal_of_another_form_is_one_all_the_same(upstream: Upstream, client: Client, body: Json | str) -> None:
    upstream.answers(body, 422)

    response = ask(client, model="chat")

    assert response.status_code == 422
    assert error_of(response)["type"] == "invalid_request_error"
    assert isinstance(error_of(response)["message"], str)


@each_mode
@pytest.mark.parametrize("status", [401, 403, 404, 408, 409, 500, 503])
def test_any_other_failure_is_a_bad_gateway_that_repeats_nothing(
    upstream: Upstream, client: Client, caplog: pytest.LogCaptureFixture, status: int, stream: bool
) -> None:
    upstream.answers({"error": {"message": SECRET, "code": SECRET, "param": SECRET, "type": SECRET}}, status)

    response = ask(client, model="chat", stream=stream)

    assert response.status_code == 502
    assert error_of(response) == FAILED
    assert SECRET in caplog.text
    assert len(upstream.requests) == 1  # it is not asked again


@each_mode
@pytest.mark.parametrize("wait", ["7", None])
def test_a_rate_limit_is_the_client_s_to_wait_for(
    upstream: Upstream, client: Client, wait: str | None, stream: bool
) -> None:
    upstream.answers({"error": {"message": SECRET}}, 429, **({"retry_after": wait} if wait else {}))

    response = ask(client, model="chat", stream=stream)

    assert response.status_code == 429
    assert response.headers.get("retry-after") == wait
    assert (error_of(response)["type"], error_of(response)["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert SECRET not in response.text
    assert len(upstream.requests) == 1


@each_mode
def test_an_upstream_that_is_not_there_is_a_bad_gateway(stream: bool) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        with client_of(f"http://127.0.0.1:{unused.getsockname()[1]}/v1") as client:
            response = ask(client, model="chat", stream=stream)

    assert response.status_code == 502
    assert error_of(response) == FAILED


@each_mode
def test_an_upstream_that_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, upstream: Upstream, stream: bool
) -> None:
    monkeypatch.setattr(upstream_module, "TIMEOUT", 0.2)
    upstream.silent.set()

    with client_of(upstream.url) as client:
        response = ask(client, model="chat", stream=stream)

    assert response.status_code == 504
    assert error_of(response)["code"] == "timeout"


def test_a_page_instead_of_an_answer_is_a_failure_that_repeats_nothing(upstream: Upstream, client: Client) -> None:
    upstream.answers(f"<html>{SECRET}</html>")  # as a base URL without /v1 may give

    response = ask(client, model="chat")

    assert response.status_code >= 500
    assert error_of(response)["type"] == "server_error"
    assert SECRET not in response.text


def test_an_upstream_that_breaks_off_ends_the_stream_with_an_error(upstream: Upstream, client: Client) -> None:
    frame = f"data: {json.dumps(CHUNK)}\n\n"
    upstream.answers(frame, content_type="text/event-stream", content_length="100000")

    *chunks, error = chunks_of(ask(client, model="chat", stream=True))

    assert error == {"error": FAILED}
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == ["", "Hel"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None]
