"""What the tests share: a client of a server around any function, and readers of what it answers."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any, Protocol, TypeAlias
from unittest.mock import ANY

import pytest
from httpx import Response
from litestar import Litestar
from litestar.di import Provide
from litestar.testing import TestClient

from app.app import create_app
from app.registry import Pipelines
from app.services import Hooks
from app.settings import Settings

Client: TypeAlias = TestClient[Litestar]
Json: TypeAlias = dict[str, Any]

SERVER_ERROR = "The server had an error while processing the request."


class Serve(Protocol):
    """Makes a server around a service, or around a function that becomes the model `test`."""

    def __call__(
        self,
        service: object,
        *,
        hooks: Hooks | None = None,
        dependencies: Mapping[str, Provide] | None = None,
        **settings: Any,
    ) -> Client: ...


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def serve() -> Iterator[Serve]:
    with servers() as serve:
        yield serve


@pytest.fixture(scope="module")
def serve_all() -> Iterator[Serve]:
    """As `serve`, for a server that all tests of a module ask."""
    with servers() as serve:
        yield serve


@contextmanager
def servers() -> Iterator[Serve]:
    """Servers that stop at the end."""
    with ExitStack() as stack:

        def serve(
            service: object,
            *,
            hooks: Hooks | None = None,
            dependencies: Mapping[str, Provide] | None = None,
            **settings: Any,
        ) -> Client:
            registry = service if isinstance(service, Pipelines) else Pipelines()
            if not isinstance(service, Pipelines) and not hasattr(service, "complete"):
                service = SimpleNamespace(complete=service, list_models=lambda: ["test"])
            replaced = {} if service is registry else {"completion_service": given(service)}
            replaced |= ({"hooks": given(hooks)} if hooks else {}) | dict(dependencies or {})
            app = create_app(settings=Settings(**settings), dependencies=replaced, pipelines=registry)
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield serve


def given(value: object) -> Provide:
    """A dependency that is this value."""
    return Provide(lambda: value, sync_to_thread=False)


def returning(result: object) -> Callable[..., object]:
    """A service that returns this."""
    return lambda *_: result


def yielding(*items: object) -> Callable[..., Iterator[object]]:
    """A service that yields these, and raises what is an exception."""

    def complete(model: str, messages: object, body: object) -> Iterator[object]:
        for item in items:
            if isinstance(item, Exception):
                raise item
            yield item

    return complete


def ask(client: Client, content: object = "Hello!", **fields: object) -> Response:
    """Ask the model `test` for a completion."""
    body = {"model": "test", "messages": [{"role": "user", "content": content}]}
    return client.post("/v1/chat/completions", json=body | fields)


def message_of(response: Response) -> Json:
    """The message of a whole completion."""
    assert response.status_code == 200, response.text
    message: Json = response.json()["choices"][0]["message"]
    return message


def chunks_of(response: Response) -> list[Json]:
    """All frames of a stream but the last, which says that it is done."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *frames, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert all(frame.startswith("data: ") for frame in frames)
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def deltas_of(response: Response) -> list[Json]:
    """What the chunks of a stream add to the message, between the role and the finish."""
    role, *deltas, finish = (chunk["choices"][0]["delta"] for chunk in chunks_of(response) if chunk["choices"])
    assert (role, finish) == ({"role": "assistant", "content": ""}, {})
    return deltas


def text_of_stream(response: Response) -> str:
    """The text that the chunks of a stream add up to."""
    return "".join(delta.get("content", "") for delta in deltas_of(response))


def finish_reason_of(response: Response) -> str | None:
    """The finish reason of a whole completion, or the one that a stream carries exactly once."""
    if response.headers["content-type"] == "application/json":
        choices = response.json()["choices"]
    else:
        choices = [choice for chunk in chunks_of(response) for choice in chunk["choices"]]
    (reason,) = (choice["finish_reason"] for choice in choices if choice["finish_reason"])
    assert isinstance(reason, str)
    return reason


def error_of(response: Response) -> Json:
    """The error object of a failed request, with all its keys."""
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Json] = response.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    return body["error"]


def completion(content: str | None, *, finish_reason: str = "stop", **message: object) -> Json:
    """The whole completion that a response is expected to be."""
    answer = {"role": "assistant", "content": content, "refusal": None, **message}
    choice = {"index": 0, "message": answer, "finish_reason": finish_reason, "logprobs": None}
    return {"id": ANY, "object": "chat.completion", "created": ANY, "model": "test", "choices": [choice]}


def chunk(*choices: Json, **fields: object) -> Json:
    """The chunk that a frame is expected to hold."""
    head = {"id": ANY, "object": "chat.completion.chunk", "created": ANY, "model": "test"}
    return {**head, "choices": list(choices), **fields}


def choice(delta: Json, finish_reason: str | None = None, **fields: object) -> Json:
    """The choice that a chunk is expected to hold."""
    return {"index": 0, "delta": delta, "finish_reason": finish_reason, **fields}


def stream(*deltas: Json, finish_reason: str = "stop") -> list[Json]:
    """The chunks that a stream is expected to be: those deltas, after the role and before the finish."""
    role: Json = {"role": "assistant", "content": ""}
    return [chunk(choice(delta)) for delta in (role, *deltas)] + [chunk(choice({}, finish_reason))]
