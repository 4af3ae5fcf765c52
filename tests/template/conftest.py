"""What the template's own tests share beyond `tests/conftest.py`."""

from unittest.mock import ANY
from uuid import uuid4

import pytest
from httpx import Response
from hypothesis import HealthCheck, settings

from schemas.chat import Json
from tests.conftest import SERVER_ERROR, Serve, chunks_of, serving
from tests.template.chat.scripted import Scripted

settings.register_profile("server", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("server")  # time decides nothing on a busy machine


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def key() -> str:
    """A prompt that no other test sends, under which a model notes its run, see `tests.template.e2e.journal`."""
    return uuid4().hex


serve_all = pytest.fixture(serving, scope="module")  # as `serve`, for applications that all tests of a module ask


@pytest.fixture(scope="module")
def scripted(serve_all: Serve) -> Scripted:
    """A server, made once, whose model gives the result of each example."""
    service = Scripted()
    service.client = serve_all(service)
    return service


def error_object(
    message: str, *, type: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> Json:
    """Return the error object that a response is expected to have."""
    return {"message": message, "type": type, "param": param, "code": code}


UNEXPECTED = error_object(SERVER_ERROR, type="server_error")


def deltas_of(response: Response) -> list[Json]:
    """Return the deltas of a stream between the role and the finish."""
    role, *deltas, finish = (chunk["choices"][0]["delta"] for chunk in chunks_of(response) if chunk["choices"])
    assert (role, finish) == ({"role": "assistant", "content": ""}, {})
    return deltas


def finish_reason_of(response: Response) -> str | None:
    """Return the finish reason of a whole completion, or the one that a stream carries exactly once."""
    if response.headers["content-type"] == "application/json":
        choices = response.json()["choices"]
    else:
        choices = [choice for chunk in chunks_of(response) for choice in chunk["choices"]]
    (reason,) = (choice["finish_reason"] for choice in choices if choice["finish_reason"])
    assert isinstance(reason, str)
    return reason


def completion(content: str | None, *, finish_reason: str = "stop", **message: object) -> Json:
    """Return the whole completion that a response is expected to be."""
    answer = {"role": "assistant", "content": content, "refusal": None, **message}
    choice = {"index": 0, "message": answer, "finish_reason": finish_reason, "logprobs": None}
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    head = {"id": ANY, "object": "chat.completion", "created": ANY, "model": "test"}
    return {**head, "choices": [choice], "usage": usage}


def chunk(*choices: Json, **fields: object) -> Json:
    """Return the chunk that a frame is expected to hold."""
    head = {"id": ANY, "object": "chat.completion.chunk", "created": ANY, "model": "test"}
    return {**head, "choices": list(choices), **fields}


def choice(delta: Json, finish_reason: str | None = None, **fields: object) -> Json:
    """Return the choice that a chunk is expected to hold."""
    return {"index": 0, "delta": delta, "finish_reason": finish_reason, **fields}


def stream(*deltas: Json, finish_reason: str = "stop") -> list[Json]:
    """Return the chunks that a stream is expected to be: those deltas, after the role and before the finish."""
    role: Json = {"role": "assistant", "content": ""}
    return [chunk(choice(delta)) for delta in (role, *deltas)] + [chunk(choice({}, finish_reason))]
