"""Whatever a service returns, its client gets what it asked for."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from app.services import Body, Messages
from schemas.chat import ChatCompletion, Choice, Json, Message
from tests.conftest import SERVER_ERROR, Serve, ask, chunks_of, error_of, returning, yielding
from tests.factories import ChatCompletionFactory
from tests.template.conftest import completion, deltas_of, stream


def text(model: str, messages: Messages, body: Body) -> str:
    return "Hello!"


def struct(model: str, messages: Messages, body: Body) -> ChatCompletion:
    return ChatCompletion(choices=[Choice(message=Message(content="Hello!"))])


def plain_dict(model: str, messages: Messages, body: Body) -> dict[str, Any]:
    return {"choices": [{"message": {"content": "Hello!"}}]}


def generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield "Hello!"


def iterator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    return iter(["Hello!"])


async def async_text(model: str, messages: Messages, body: Body) -> str:
    return "Hello!"


async def async_struct(model: str, messages: Messages, body: Body) -> ChatCompletion:
    return struct(model, messages, body)


async def async_dict(model: str, messages: Messages, body: Body) -> dict[str, Any]:
    return plain_dict(model, messages, body)


async def async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    yield "Hello!"


async def iterator_awaited(model: str, messages: Messages, body: Body) -> Iterator[str]:
    return iter(["Hello!"])


async def async_generator_awaited(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    return async_generator(model, messages, body)


def async_generator_returned(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    return async_generator(model, messages, body)


class Iterating:
    """An iterator that is no generator, sync or async, and can be closed."""

    def __init__(self) -> None:
        self.items = iter(["Hello!"])
        self.closed = False

    def close(self) -> None:
        self.closed = True


class SyncIterating(Iterating):
    def __iter__(self) -> "SyncIterating":
        return self

    def __next__(self) -> str:
        return next(self.items)


class AsyncIterating(Iterating):
    def __aiter__(self) -> "AsyncIterating":
        return self

    async def __anext__(self) -> str:
        for item in self.items:
            return item
        raise StopAsyncIteration


class Callables:
    """The ways of a class to hold a service."""

    greeting = "Hello!"

    def __call__(self, model: str, messages: Messages, body: Body) -> str:
        return self.greeting

    def method(self, model: str, messages: Messages, body: Body) -> str:
        return self.greeting

    def generator(self, model: str, messages: Messages, body: Body) -> Iterator[str]:
        yield self.greeting

    async def async_method(self, model: str, messages: Messages, body: Body) -> str:
        return self.greeting

    async def async_generator(self, model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        yield self.greeting

    @classmethod
    def class_method(cls, model: str, messages: Messages, body: Body) -> str:
        return cls.greeting

    @staticmethod
    def static_method(model: str, messages: Messages, body: Body) -> str:
        return "Hello!"


class AsyncCallable:
    async def __call__(self, model: str, messages: Messages, body: Body) -> str:
        return "Hello!"


class AsyncGeneratorCallable:
    async def __call__(self, model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        yield "Hello!"


class Unhashable(Callables):
    __hash__ = None  # type: ignore[assignment]  # as every dataclass


def with_a_greeting(greeting: str, model: str, messages: Messages, body: Body) -> str:
    return greeting


OF_A_CLASS = Callables()
SERVICES = [
    text, struct, plain_dict, generator, iterator,
    async_text, async_struct, async_dict, async_generator,
    iterator_awaited, async_generator_awaited, async_generator_returned,
    OF_A_CLASS, OF_A_CLASS.method, OF_A_CLASS.generator, OF_A_CLASS.async_method, OF_A_CLASS.async_generator,
    Callables.class_method, Callables.static_method, AsyncCallable(), AsyncGeneratorCallable(), Unhashable(),
    partial(with_a_greeting, "Hello!"), lambda model, messages, body: "Hello!",
]  # fmt: skip


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: getattr(service, "__qualname__", None))
def test_any_service_answers_with_one_completion_or_with_a_stream(serve: Serve, service: Callable[..., Any]) -> None:
    client = serve(service)

    assert ask(client).json() == completion("Hello!")
    assert chunks_of(ask(client, stream=True)) == stream({"content": "Hello!"})


@pytest.mark.parametrize("source", [SyncIterating, AsyncIterating])
@pytest.mark.parametrize("streaming", [True, False])
def test_an_iterator_of_a_class_of_its_own_is_read_and_closed(
    serve: Serve, source: type[Iterating], streaming: bool
) -> None:
    items = source()

    response = ask(serve(returning(items)), stream=streaming)

    assert "Hello!" in response.text
    assert items.closed


@pytest.mark.parametrize("streaming", [True, False])
def test_a_generator_is_closed_when_it_has_failed(serve: Serve, streaming: bool) -> None:
    closed = []

    async def failing(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        try:
            yield "Hello!"
            raise ValueError
        finally:
            closed.append(True)

    ask(serve(failing), stream=streaming)

    assert closed == [True]


def test_a_whole_completion_goes_out_as_it_is(serve: Serve) -> None:
    whole = ChatCompletionFactory.build(id="chatcmpl-mine", created=1, model="mine", service_tier="default")

    response = ask(serve(returning(whole)))

    assert response.headers["content-type"] == "application/json"
    assert response.content == ask(serve(yielding(whole))).content
    assert response.json()["id"] == "chatcmpl-mine"


def test_a_completion_of_openai_is_split_into_chunks_of_its_parts(serve: Serve) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    message = {"role": "assistant", "reasoning_content": "Hm.", "content": "Hello!", "tool_calls": [call]}
    whole = {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "length"}]}

    chunks = chunks_of(ask(serve(returning(whole)), stream=True))

    parts: list[Json] = [{"reasoning_content": "Hm."}, {"content": "Hello!"}, {"tool_calls": [{**call, "index": 0}]}]
    assert chunks == stream(*parts, finish_reason="length")


@pytest.mark.parametrize("items", [[], [""], ["", ""]])
def test_an_iterator_without_text_makes_an_empty_answer(serve: Serve, items: list[str]) -> None:
    client = serve(yielding(*items))

    assert ask(client).json() == completion("")
    assert chunks_of(ask(client, stream=True)) == stream()


@pytest.mark.parametrize("streaming", [True, False, None])
def test_the_client_decides_what_it_gets_and_null_is_no(serve: Serve, streaming: bool | None) -> None:
    response = ask(serve(yielding("Hello!")), stream=streaming)

    assert response.headers["content-type"].partition(";")[0] == (
        "text/event-stream" if streaming else "application/json"
    )


@pytest.mark.parametrize("count", [1, 127, 128, 129, 1000])
@pytest.mark.parametrize("service", ["sync", "async"])
def test_no_item_of_a_burst_is_lost(serve: Serve, service: str, count: int) -> None:
    words = [f"{number} " for number in range(count)]

    async def async_words(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        for word in words:
            yield word

    client = serve(yielding(*words) if service == "sync" else async_words)

    assert deltas_of(ask(client, stream=True)) == [{"content": word} for word in words]


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (None, "NoneType"),
        (42, "int"),
        (b"Hello!", "bytes"),
        (["Hello!"], "list"),
        ({"a": 1}, "dict"),
        (Callables(), "Callables"),
    ],
)
@pytest.mark.parametrize("streaming", [True, False])
def test_any_other_result_is_an_error_whose_log_names_the_types_that_do(
    serve: Serve, caplog: pytest.LogCaptureFixture, result: object, kind: str, streaming: bool
) -> None:
    response = ask(serve(returning(result)), stream=streaming)

    assert response.status_code == 500
    assert error_of(response) == {"message": SERVER_ERROR, "type": "server_error", "param": None, "code": None}
    assert f"returned {kind}" in caplog.text
    assert all(allowed in caplog.text for allowed in ("str", "ChatCompletion", "dict", "ChatMessage", "iterator"))
