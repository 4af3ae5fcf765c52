"""What the tests share: a client of an application around any model, and readers of what it answers."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias, TypeVar

import httpx
import pytest
import uvicorn
from httpx import Response
from litestar import Litestar
from litestar.di import Provide
from litestar.testing import TestClient
from openai import OpenAI

from app import extensions
from app.app import create_app
from app.pipelines import pipelines
from app.registry import CHAT, Pipelines, RegisteredModel
from app.services import Hooks
from app.settings import Settings
from schemas.chat import Json

Client: TypeAlias = TestClient[Litestar]
Serve: TypeAlias = Callable[..., Client]
T = TypeVar("T")

ROOT = Path(__file__).parents[1]
SERVER_ERROR = "The server had an error while processing the request."
PATIENCE = 60.0  # seconds until a test gives up waiting
KEY = "sk-of-the-tests"
ASKS: Json = {"model": "test", "messages": [{"role": "user", "content": "Hello!"}]}
ENVIRONMENT = {"API_KEYS": KEY, "API_KEYS_FILE": "", "LOG_FORMAT": "text"}
ENVIRONMENT |= {"REQUESTS_PER_MINUTE": "0", "ALLOWED_HOSTS": "*"}  # pack: limits


def pytest_report_header() -> str:  # pack: template
    return "the template's own tests: uv run --all-extras --group template pytest tests/template"  # pack: template


def application(
    served: object, *, hooks: Hooks | None = None, dependencies: Mapping[str, Provide] | None = None, **settings: Any
) -> Litestar:
    """Return an application around the model `test`, models by name, a service or a registry."""
    registry, provided = served if isinstance(served, Pipelines) else Pipelines(), dict(dependencies or {})
    if hooks:
        provided["hooks"] = given(hooks)
    if hasattr(served, "complete"):
        provided["completion_service"] = given(served)
    elif callable(served) or isinstance(served, dict):
        for name, model in (served if isinstance(served, dict) else {"test": served}).items():
            registry.add(name, model)
    return create_app(settings=Settings(**settings), dependencies=provided, pipelines=registry)


def serving() -> Iterator[Serve]:
    """Yield a function that takes what `application` takes, and gives a client of it, which runs until the end."""

    def client(served: object, **options: Any) -> Client:
        return clients.enter_context(TestClient(application(served, **options), raise_server_exceptions=False))

    with ExitStack() as clients:
        yield client


serve = pytest.fixture(serving)


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the project's own server logs."""
    return tmp_path_factory.mktemp("server") / "log"


@pytest.fixture(scope="session")
def server(log: Path) -> Iterator[httpx.Client]:
    """A client of the project's own server, which is started the way a person starts it."""
    command = [sys.executable, "-m", "litestar", "run", "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | ENVIRONMENT, stdout=output, stderr=output)  # noqa: S603 - ours
    headers = {"authorization": f"Bearer {KEY}"}
    try:
        url = until(lambda: process.poll() is not None or re.search(r"Uvicorn running on (\S+)", log.read_text()))
        assert isinstance(url, re.Match), f"The server did not start:\n{log.read_text()}"
        with httpx.Client(base_url=f"{url[1]}/v1", headers=headers, timeout=PATIENCE) as client:
            yield client
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give `model_of_the_project` each model that the project's own application offers for chats."""
    if "model_of_the_project" in metafunc.fixturenames:
        metafunc.parametrize("model_of_the_project", offered_models(), scope="session")


@cache
def offered_models() -> list[Any]:
    """Return the models that the settings ask for or services list; a registered one that is not listed is skipped."""
    settings = Settings.load()
    listed = registered = [name for name, model in pipelines.models.items() if model.when(settings)]
    if {"completion_service", "model_service"} & extensions.dependencies.keys():
        with TestClient(create_app(settings=Settings.load(os.environ | ENVIRONMENT))) as client:
            listed = [model.id for model in openai_of(client).models.list()]
    offered = []
    for name in dict.fromkeys([*listed, *registered]):
        model = pipelines.models.get(name) or RegisteredModel(name=name, function=len, is_factory=False)
        why = f"{name!r} is registered, but the services list it to nobody with the tests' key"
        if model.kind == CHAT and model.conformance:
            offered.append(pytest.param(model, id=name, marks=pytest.mark.skipif(name not in listed, reason=why)))
    return offered


class Asked:
    """A model and its answers to its prompt: each is requested when a test first needs it, and kept, failed or not."""

    def __init__(self, registered: RegisteredModel, client: httpx.Client, log: Path | None = None) -> None:
        self.name, self.prompt, self.client, self.log = registered.name, registered.prompt, client, log
        self.request: Json = {"model": self.name, "messages": [{"role": "user", "content": self.prompt}]}
        self._kept: dict[str, Response] = {}

    def __str__(self) -> str:
        return f"The model {self.name!r}"

    @property
    def whole(self) -> Response:
        return self.ask("whole")

    @property
    def stream(self) -> Response:
        return self.ask("stream", stream=True)

    @property
    def stream_with_usage(self) -> Response:
        return self.ask("stream with usage", stream=True, stream_options={"include_usage": True})

    def ask(self, kind: str, **fields: object) -> Response:
        """Return the answer of this kind, which is requested with these fields; one failure fails one test."""
        self.skip_if_failing(kind)
        if kind not in self._kept:
            logged = len(self._logged())
            try:
                self._kept[kind] = self.client.post("/chat/completions", json=self.request | fields)
            except httpx.HTTPError as error:
                self._kept[kind] = Response(504, text=repr(error))
            why = f"{self._kept[kind].text}\nThe server's log says:\n{self._logged()[logged:]}"
            assert not has_failed(self._kept[kind]), f"{self} failed to answer its prompt: {why}"
        return self._kept[kind]

    def skip_if_failing(self, kind: str = "") -> None:
        """Skip the test if this answer, or the first of all, was a failure, as where a model's upstream is down."""
        for answer in [answer for name, answer in self._kept.items() if name in (kind, next(iter(self._kept)))]:
            if has_failed(answer):
                pytest.skip(f"{self} failed at first, and is not asked again: {answer.text}")

    def _logged(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log else ""


def has_failed(answer: Response) -> bool:
    """Whether an answer is an error, or a stream with one in it."""
    return answer.is_error or '\n\ndata: {"error":' in answer.text


@pytest.fixture(scope="session")
def asked(model_of_the_project: RegisteredModel, server: httpx.Client, log: Path) -> Asked:
    """A model of the project, with its answers to the tests of all modules."""
    return Asked(model_of_the_project, server, log)


@contextmanager
def live(served: object, **options: Any) -> Iterator[OpenAI]:
    """Serve an application from a thread of this process, and give OpenAI's client of it."""
    app = application(served, **options)
    close = [("connection", "close")]  # for the clients within models, which nobody closes
    server = uvicorn.Server(uvicorn.Config(app, port=0, ws="none", log_config=None, headers=close))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until(lambda: server.started)
        url = "http://127.0.0.1:{1}/v1".format(*server.servers[0].sockets[0].getsockname())
        with OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=PATIENCE) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


def until(look: Callable[[], T], accepts: Callable[[T], object] = bool, *, patience: float = PATIENCE) -> T:
    """Return what a function returns as soon as it is accepted, by default as soon as it is true."""
    deadline = time.monotonic() + patience
    while not accepts(seen := look()):
        assert time.monotonic() < deadline, f"It did not happen in time; seen last: {seen!r}"
        time.sleep(0.01)
    return seen


def openai_of(client: httpx.Client, *, key: str = KEY) -> OpenAI:
    """Return OpenAI's client of a server."""
    http: Any = client  # its types want a client of another package than httpx
    return OpenAI(base_url=str(client.base_url.join("/v1")), api_key=key, http_client=http, max_retries=0)


def given(value: object) -> Provide:
    """Return a provider of this value."""
    return Provide(lambda: value, sync_to_thread=False)


def returning(result: object) -> Callable[..., Any]:
    """Return a model that returns this."""
    return lambda model, messages, body: result


def yielding(*items: object) -> Callable[..., Iterator[object]]:
    """Return a model that yields these items, and raises those that are exceptions."""

    def complete(model: str, messages: object, body: object) -> Iterator[object]:
        for item in items:
            if isinstance(item, Exception):
                raise item
            yield item

    return complete


def ask(client: httpx.Client, content: object = "Hello!", **fields: object) -> Response:
    """Ask the model `test` for a completion."""
    body = {"model": "test", "messages": [{"role": "user", "content": content}]}
    return client.post("/v1/chat/completions", json=body | fields)


def message_of(response: Response) -> Json:
    """Return the message of a whole completion."""
    assert response.status_code == 200, response.text
    message: Json = response.json()["choices"][0]["message"]
    return message


def chunks_of(response: Response) -> list[Json]:
    """Return all frames of a stream but the last, `[DONE]`."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *frames, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert all(frame.startswith("data: ") for frame in frames)
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def streamed_text(response: Response) -> str:
    """Return the text that the chunks of a stream add up to."""
    choices = [choice for chunk in chunks_of(response) for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def error_of(response: Response) -> Json:
    """Return the error object of a failed request."""
    assert response.headers["content-type"] == "application/json"
    error: Json = response.json()["error"]
    assert response.json().keys() == {"error"}
    assert error.keys() == {"message", "type", "param", "code"}
    return error
