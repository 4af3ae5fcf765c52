"""What may be a service, what it is called with, and where it runs."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from litestar import Router

from app.engine.results import CallbackStream
from app.engine.run import run_sync
from app.services import Body, Messages
from controllers.openai import OpenAIController
from schemas.chat import ChatCompletion, Choice, Message
from tests.conftest import ASKS, Client, Serve, ask, chunks_of, error_of, message_of, streamed_text, until
from tests.template.chat.scripted import Scripted
from tests.template.conftest import completion, stream


def text(model: str, messages: Messages, body: Body) -> str:
    return "Hello!"


def struct(model: str, messages: Messages, body: Body) -> ChatCompletion:
    return ChatCompletion(choices=[Choice(message=Message(content="Hello!"))])


def generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield "Hello!"


async def async_dict(model: str, messages: Messages, body: Body) -> dict[str, Any]:
    return {"choices": [{"message": {"content": "Hello!"}}]}


async def async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    yield "Hello!"


async def awaited(result: object) -> object:
    return result


class Callables:
    """The ways in which a class can hold a model."""

    def greeting(self) -> str:
        return "Hello!"

    def __call__(self, model: str, messages: Messages, body: Body) -> str:
        return self.greeting()

    def generator(self, model: str, messages: Messages, body: Body) -> Iterator[str]:
        yield self.greeting()

    async def async_method(self, model: str, messages: Messages, body: Body) -> str:
        return self.greeting()

    async def async_generator(self, model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        yield self.greeting()

    @classmethod
    def class_method(cls, model: str, messages: Messages, body: Body) -> str:
        return cls().greeting()


class AsyncCallable(Callables):
    async def __call__(self, model: str, messages: Messages, body: Body) -> str:  # type: ignore[override]  # on purpose
        return "Hello!"


class AsyncGeneratorCallable(Callables):
    async def __call__(self, model: str, messages: Messages, body: Body) -> AsyncIterator[str]:  # type: ignore[override]  # on purpose
        yield "Hello!"


class Unhashable(Callables):
    __hash__ = None  # type: ignore[assignment]  # as every dataclass


HELD = Callables()
SERVICES: dict[str, Callable[..., Any]] = {
    "text": text,
    "struct": struct,
    "generator": generator,
    "iterator": lambda model, messages, body: iter(["Hello!"]),
    "async dict": async_dict,
    "async generator": async_generator,
    "iterator awaited": lambda model, messages, body: awaited(iter(["Hello!"])),
    "async generator awaited": lambda model, messages, body: awaited(async_generator(model, messages, body)),
    "async generator returned": lambda model, messages, body: async_generator(model, messages, body),
    "method, a generator": HELD.generator,
    "async method": HELD.async_method,
    "method, an async generator": HELD.async_generator,
    "class method": Callables.class_method,
    "callable": HELD,
    "async callable": AsyncCallable(),
    "async generator callable": AsyncGeneratorCallable(),
    "unhashable callable": Unhashable(),
    "partial": partial(lambda greeting, model, messages, body: greeting, "Hello!"),
}
SIGNATURES: dict[str, Callable[..., str]] = {
    "by position": lambda a, b, c, /: repr((a, b, c)),
    "by other names": lambda name, chat, request: repr((name, chat, request)),
    "by name": lambda *, model, messages, body: repr((model, messages, body)),
    "in another order": lambda body, messages, model: repr((model, messages, body)),
    "with defaults": lambda model="", messages=None, body=None, top_k=1: repr((model, messages, body)) * top_k,
    "with keywords": lambda **given: repr((given["model"], given["messages"], given["body"])),
    "with positions": lambda *given: repr(given),
}


class Where(Callables):
    """The same, telling where its code runs."""

    def greeting(self) -> str:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return "in a thread" if threading.current_thread().daemon else "in a thread that outlives the server"
        return "on the loop"


WHERE = Where()


@pytest.fixture(scope="module")
def client(serve_all: Serve) -> Client:
    """A client of all these services, each of which is a model."""
    return serve_all(SERVICES | SIGNATURES)


@pytest.mark.parametrize("name", SERVICES)
def test_any_service_answers_whole_and_with_a_stream(client: Client, name: str) -> None:
    assert ask(client, model=name).json() == {**completion("Hello!"), "model": name}
    chunks = chunks_of(ask(client, model=name, stream=True))
    assert chunks == [{**each, "model": name} for each in stream({"content": "Hello!"})]


@pytest.mark.parametrize("streaming", [True, False, None])
def test_the_client_decides_what_it_gets_and_null_is_no(client: Client, streaming: bool | None) -> None:
    response = ask(client, model="generator", stream=streaming)

    assert response.status_code == 200
    if streaming:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-cache", "no")
        assert "content-length" not in response.headers
    else:
        assert response.headers["content-type"] == "application/json"


def test_a_stream_has_the_headers_and_cookies_of_its_layers_too(serve: Serve) -> None:
    app_client = serve(text)
    layer = Router(
        "/mine", route_handlers=[OpenAIController], response_headers={"x-layer": "a"}, response_cookies={"key": "b"}
    )
    app_client.app.register(layer)

    headers = app_client.post("/mine/v1/chat/completions", json={**ASKS, "stream": True}).headers

    assert (headers["x-layer"], headers["cache-control"]) == ("a", "no-cache")
    assert headers["set-cookie"].startswith("key=b")


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_service_gets_the_model_the_messages_and_the_body_the_way_it_asks(client: Client, name: str) -> None:
    body = {"model": name, "messages": [{"role": "user", "content": "Hello!"}], "mine": 1}

    assert message_of(ask(client, model=name, mine=1))["content"] == repr((name, body["messages"], body))


def test_a_service_of_other_arguments_is_an_error_that_is_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    service = SimpleNamespace(complete=lambda model, messages: "", list_models=lambda: ["test"])

    response = ask(serve(service))

    assert response.status_code == 500
    assert error_of(response)["type"] == "server_error"
    assert "must take (model, messages, body)" in caplog.text


def test_a_service_that_names_headers_gets_those_of_the_request_but_for_secrets(serve: Serve) -> None:
    seen: list[Mapping[str, str]] = []

    def complete(model: str, messages: Messages, body: Body, headers: Mapping[str, str]) -> str:
        for change in ("headers['a'] = 'b'", "del headers['host']", "headers.clear()"):
            with pytest.raises((TypeError, AttributeError)):
                exec(change, {"headers": headers})  # noqa: S102 - the type checker would refuse it
        seen.append(headers)
        return "Hello!"

    sent = [("X-Tag", "a"), ("X-Tag", "b"), ("Authorization", "Bearer secret"), ("Cookie", "session=secret")]
    response = serve(complete).post("/v1/chat/completions", json=ASKS, headers=sent)

    assert response.status_code == 200
    (headers,) = seen
    assert isinstance(headers, Mapping)
    assert (headers["x-tag"], dict(headers)["content-type"]) == ("a, b", "application/json")
    assert len(headers) == len(list(headers))
    assert all(name == name.lower() for name in headers)
    assert not {"authorization", "cookie"} & headers.keys()
    assert "secret" not in str(dict(headers))


@pytest.mark.parametrize(
    ("service", "where"),
    [
        (WHERE, "in a thread"),
        (WHERE.generator, "in a thread"),
        (WHERE.async_method, "on the loop"),
        (WHERE.async_generator, "on the loop"),
        (lambda model, messages, body: asyncio.to_thread(WHERE.greeting), "in a thread"),
    ],
    ids=["function", "generator", "async function", "async generator", "thread of asyncio"],
)
def test_sync_code_never_runs_on_the_event_loop_and_async_code_does(
    serve: Serve, service: Callable[..., Any], where: str
) -> None:
    client = serve(service)

    assert message_of(ask(client))["content"] == where
    assert streamed_text(ask(client, stream=True)) == where


class SyncIterating:
    """An iterator that is no generator, and can be closed."""

    def __init__(self, *items: object, error: type[Exception]) -> None:
        self.items = iter(items)
        self.error = error
        self.closed = False

    def __iter__(self) -> "SyncIterating":
        return self

    def __next__(self) -> object:
        for item in self.items:
            return item
        raise self.error

    def close(self) -> None:
        self.closed = True


class AsyncIterating(SyncIterating):
    def __aiter__(self) -> "AsyncIterating":
        return self

    async def __anext__(self) -> object:
        return next(self)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    ("kind", "end"), [(SyncIterating, StopIteration), (AsyncIterating, StopAsyncIteration)], ids=["sync", "async"]
)
@pytest.mark.parametrize("failure", [None, ValueError, {"choices": [1]}], ids=["end", "error", "what cannot be sent"])
def test_an_iterator_is_closed_when_it_has_ended_or_failed(
    scripted: Scripted, kind: type[SyncIterating], end: type[Exception], failure: Any, streaming: bool
) -> None:
    is_error = failure is ValueError
    items = kind("Hello!", *([] if is_error or not failure else [failure]), error=failure if is_error else end)

    response = scripted.ask(items, stream=streaming)

    assert ("Hello!" in response.text) == (streaming or not failure)
    assert ("server_error" in response.text) == bool(failure)
    until(lambda: items.closed)


@pytest.mark.parametrize("in_a_thread", [True, False], ids=["in a thread", "on the loop"])
def test_a_result_that_calls_back_is_read_as_an_iterator_at_the_pace_of_its_client(
    serve: Serve, in_a_thread: bool
) -> None:
    words = [f"{number} " for number in range(500)]

    async def call_back(buffer: Any) -> None:
        if in_a_thread:
            assert await run_sync(lambda: all(map(buffer.put_from_thread, words)))
        else:
            for word in words:
                await buffer.send(word)

    client = serve(lambda model, messages, body: CallbackStream(call_back))

    assert ask(client).json() == completion("".join(words))
    assert chunks_of(ask(client, stream=True)) == stream(*({"content": word} for word in words))
