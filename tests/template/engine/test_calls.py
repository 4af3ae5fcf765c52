"""What a service is called with, and where it runs."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from app.engine.invoke import check_service
from app.services import Body, Messages
from schemas.chat import Json
from tests.conftest import Serve, ask, error_of, message_of, streamed_text

CALLS = [{"model": "test", "messages": [{"role": "user", "content": "Hello!"}], "stream": False, "mine": 1}]


def by_position(a: str, b: Messages, c: Body, /) -> str:
    return repr((a, b, c))


def by_other_names(name: str, chat: Messages, request: Body) -> str:
    return repr((name, chat, request))


def by_name(*, model: str, messages: Messages, body: Body) -> str:
    return repr((model, messages, body))


def by_either(model: str, messages: Messages, body: Body) -> str:
    return repr((model, messages, body))


def in_another_order(body: Body, messages: Messages, model: str) -> str:
    return repr((model, messages, body))


def with_defaults(model: str = "", messages: Any = None, body: Any = None, temperature: float = 1.0) -> str:
    assert temperature == 1.0
    return repr((model, messages, body))


def with_keywords(**arguments: Any) -> str:
    return repr((arguments["model"], arguments["messages"], arguments["body"]))


def with_positions(*arguments: Any) -> str:
    return repr(arguments)


@pytest.mark.parametrize(
    "service",
    [
        by_position, by_other_names, by_name, by_either, in_another_order,
        with_defaults, with_keywords, with_positions,
    ],
)  # fmt: skip
def test_a_service_gets_the_model_the_messages_and_the_body_the_way_it_asks(
    serve: Serve, service: Callable[..., str]
) -> None:
    messages = [{"role": "user", "content": "Hello!"}]
    body = {"model": "test", "messages": messages, "mine": 1}

    assert message_of(ask(serve(service), mine=1))["content"] == repr(("test", messages, body))


def test_a_service_that_names_headers_gets_those_of_the_request(serve: Serve) -> None:
    seen: list[Mapping[str, str]] = []

    def complete(model: str, messages: Messages, body: Body, headers: Mapping[str, str]) -> str:
        seen.append(headers)
        return "Hello!"

    sent = {"X-Tenant": "a", "Authorization": "Bearer secret", "Cookie": "session=secret"}
    serve(complete).post("/v1/chat/completions", json=CALLS[0], headers=sent)

    (headers,) = seen
    assert isinstance(headers, Mapping)
    assert headers["x-tenant"] == "a"
    assert dict(headers)["content-type"] == "application/json"
    assert len(headers) == len(list(headers))
    assert all(name == name.lower() for name in headers)
    assert not {"authorization", "cookie"} & headers.keys()
    assert "secret" not in str(dict(headers))


@pytest.mark.parametrize("change", ["headers['a'] = 'b'", "del headers['host']", "headers.clear()"])
def test_the_headers_are_read_only(serve: Serve, change: str) -> None:
    def complete(model: str, messages: Messages, body: Body, *, headers: Mapping[str, str]) -> str:
        with pytest.raises((TypeError, AttributeError)):
            exec(change, {"headers": headers})  # noqa: S102 - the type checker would refuse it
        return "still there" if "host" in headers else "gone"

    assert message_of(ask(serve(complete)))["content"] == "still there"


def test_a_header_sent_twice_is_joined(serve: Serve) -> None:
    def complete(model: str, messages: Messages, body: Body, headers: Mapping[str, str]) -> str:
        return headers["x-tag"]

    response = serve(complete).post("/v1/chat/completions", json=CALLS[0], headers=[("X-Tag", "a"), ("X-Tag", "b")])

    assert message_of(response)["content"] == "a, b"


def sync_function(model: str, messages: Messages, body: Body) -> str:
    return on_the_loop()


def sync_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield on_the_loop()


async def async_function(model: str, messages: Messages, body: Body) -> str:
    return on_the_loop()


async def async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    yield on_the_loop()


class SyncCallable:
    def __call__(self, model: str, messages: Messages, body: Body) -> str:
        return on_the_loop()


class AsyncCallable:
    async def __call__(self, model: str, messages: Messages, body: Body) -> str:
        return on_the_loop()


def on_the_loop() -> str:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return f"in {threading.current_thread().name}"
    return "on the loop"


@pytest.mark.parametrize(
    "service", [sync_function, sync_generator, SyncCallable()], ids=["function", "generator", "object"]
)
def test_sync_code_never_runs_on_the_event_loop(serve: Serve, service: Any) -> None:
    client = serve(service)

    assert message_of(ask(client))["content"].startswith("in ")
    assert streamed_text(ask(client, stream=True)).startswith("in ")


@pytest.mark.parametrize(
    "service", [async_function, async_generator, AsyncCallable()], ids=["function", "generator", "object"]
)
def test_async_code_runs_on_the_event_loop(serve: Serve, service: Any) -> None:
    client = serve(service)

    assert message_of(ask(client))["content"] == "on the loop"
    assert streamed_text(ask(client, stream=True)) == "on the loop"


def nothing() -> str:
    return ""


def two(model: str, messages: Messages) -> str:
    return ""


def four(model: str, messages: Messages, body: Body, more: Json) -> str:
    return ""


def named_otherwise(*, model: str, messages: Messages, payload: Body) -> str:
    return ""


@pytest.mark.parametrize("function", [nothing, two, four, named_otherwise])
def test_a_function_of_other_arguments_is_no_service(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=rf"{function.__name__}.*must take \(model, messages, body\)"):
        check_service(function)


def test_a_service_of_other_arguments_is_an_error_that_is_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    response = ask(serve(SimpleNamespace(complete=two, list_models=lambda: ["test"])))

    assert response.status_code == 500
    assert error_of(response)["type"] == "server_error"
    assert "must take (model, messages, body)" in caplog.text
