"""Hooks around a service: what a request becomes before it, and a result after it."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from litestar.exceptions import PermissionDeniedException

from app.errors import CompletionError
from app.services import Body, Hooks, Messages
from schemas.chat import ChatCompletionRequest, Json
from tests.conftest import SERVER_ERROR, Serve, ask, chunks_of, error_of, message_of, returning, yielding
from tests.template.conftest import completion, stream

Request = ChatCompletionRequest


class Recorder:
    """A service that keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Messages, Body]] = []

    def complete(self, model: str, messages: Messages, body: Body) -> str:
        self.calls.append((model, messages, body))
        return "Hello!"

    def list_models(self) -> list[str]:
        return ["test", "other"]


@pytest.fixture
def service() -> Recorder:
    return Recorder()


def rename(request: Request) -> None:
    request.model = "other"


def rename_a_copy(request: Request) -> Request:
    return msgspec.structs.replace(request, model="other")


async def rename_async(request: Request) -> None:
    request.model = "other"


async def rename_a_copy_async(request: Request) -> Request:
    return msgspec.structs.replace(request, model="other")


class Renaming:
    def __call__(self, request: Request) -> None:
        request.model = "other"

    async def method(self, request: Request) -> None:
        request.model = "other"


@pytest.mark.parametrize(
    "hook",
    [
        rename,
        rename_a_copy,
        rename_async,
        rename_a_copy_async,
        Renaming(),
        Renaming().method,
        lambda r: rename_a_copy(r),
    ],
    ids=["changes", "returns", "async changes", "async returns", "object", "method", "lambda"],
)
def test_a_pre_hook_that_changes_the_model_changes_what_the_service_sees(
    serve: Serve, service: Recorder, hook: Any
) -> None:
    response = ask(serve(service, hooks=Hooks(pre_hook=hook)), mine={"kept": True})

    ((model, messages, body),) = service.calls
    assert response.json()["model"] == model == body["model"] == "other"
    assert messages == body["messages"] == [{"role": "user", "content": "Hello!"}]
    assert body["mine"] == {"kept": True}


def test_a_pre_hook_may_replace_the_messages(serve: Serve, service: Recorder) -> None:
    def hook(request: Request) -> None:
        request.messages = [{"role": "system", "content": "Be brief."}, *request.messages]

    ask(serve(service, hooks=Hooks(pre_hook=hook)))

    expected = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello!"}]
    assert [(messages, body["messages"]) for _, messages, body in service.calls] == [(expected, expected)]


def test_a_pre_hook_may_change_a_message_in_place(serve: Serve, service: Recorder) -> None:
    def hook(request: Request) -> None:
        request.messages[0]["content"] = "Bonjour!"

    ask(serve(service, hooks=Hooks(pre_hook=hook)))

    ((_, messages, body),) = service.calls
    assert messages == body["messages"] == [{"role": "user", "content": "Bonjour!"}]


@pytest.mark.parametrize("streaming", [True, False])
def test_a_pre_hook_that_changes_stream_changes_what_the_client_gets(
    serve: Serve, service: Recorder, streaming: bool
) -> None:
    def hook(request: Request) -> None:
        request.stream = not streaming

    response = ask(serve(service, hooks=Hooks(pre_hook=hook)), stream=streaming)

    if streaming:
        assert response.json() == completion("Hello!")
    else:
        assert chunks_of(response) == stream({"content": "Hello!"})
    assert service.calls[0][2]["stream"] is not streaming


def test_a_pre_hook_may_set_any_field_declared_or_not(serve: Serve, service: Recorder) -> None:
    def hook(request: Request) -> None:
        request.temperature = 0.5
        request.extra["top_k"] = 40
        del request.extra["mine"]

    ask(serve(service, hooks=Hooks(pre_hook=hook)), mine=1, yours=2)

    ((_, messages, body),) = service.calls
    assert body == {"model": "test", "messages": messages, "yours": 2, "temperature": 0.5, "top_k": 40}


def test_a_copy_of_a_request_keeps_what_is_not_declared_and_what_the_hook_set(serve: Serve, service: Recorder) -> None:
    def hook(request: Request) -> Request:
        copy = msgspec.structs.replace(request, temperature=0.5)
        copy.extra["mine"] = 2
        return copy

    ask(serve(service, hooks=Hooks(pre_hook=hook)), mine=1, yours=2)

    ((_, messages, body),) = service.calls
    assert body == {"model": "test", "messages": messages, "temperature": 0.5, "mine": 2, "yours": 2}


def test_a_pre_hook_that_observes_sees_the_request_and_changes_nothing(serve: Serve, service: Recorder) -> None:
    seen = []

    async def hook(request: Request) -> None:
        seen.append((request.model, request.messages, request.temperature, request.top_p, dict(request.extra)))

    ask(serve(service, hooks=Hooks(pre_hook=hook)), temperature=1, mine=1)

    messages = [{"role": "user", "content": "Hello!"}]
    assert seen == [("test", messages, 1, msgspec.UNSET, {"mine": 1})]
    assert service.calls == [("test", messages, {"model": "test", "messages": messages, "temperature": 1, "mine": 1})]


def test_a_pre_hook_that_names_an_unlisted_model_makes_a_404(serve: Serve, service: Recorder) -> None:
    def hook(request: Request) -> None:
        request.model = "nope"

    response = ask(serve(service, hooks=Hooks(pre_hook=hook)))

    assert response.status_code == 404
    assert error_of(response)["code"] == "model_not_found"
    assert service.calls == []


def test_a_pre_hook_may_give_an_alias_to_a_model(serve: Serve, service: Recorder) -> None:
    def hook(request: Request) -> None:
        request.model = {"alias": "test"}[request.model]

    response = ask(serve(service, hooks=Hooks(pre_hook=hook)), model="alias")

    assert response.json()["model"] == "test"


def shout(result: Any) -> str:
    return str(result).upper()


async def shout_async(result: Any) -> str:
    return str(result).upper()


@pytest.mark.parametrize("hook", [shout, shout_async])
def test_a_post_hook_that_returns_something_replaces_the_result(serve: Serve, hook: Any) -> None:
    client = serve(returning("Hello!"), hooks=Hooks(post_hook=hook))

    assert message_of(ask(client))["content"] == "HELLO!"
    assert chunks_of(ask(client, stream=True)) == stream({"content": "HELLO!"})


def test_a_post_hook_may_wrap_an_iterator(serve: Serve) -> None:
    def hook(result: Iterator[str]) -> Iterator[str]:
        return (text.upper() for text in result)

    client = serve(yielding("Hel", "lo!"), hooks=Hooks(post_hook=hook))

    assert chunks_of(ask(client, stream=True)) == stream({"content": "HEL"}, {"content": "LO!"})


def test_a_post_hook_that_observes_changes_nothing(serve: Serve) -> None:
    seen: list[object] = []

    response = ask(serve(returning("Hello!"), hooks=Hooks(post_hook=seen.append)))

    assert response.json() == completion("Hello!")
    assert seen == ["Hello!"]


@pytest.mark.parametrize("hook", ["pre_hook", "post_hook"])
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (ValueError("secret"), 500, {"message": SERVER_ERROR, "type": "server_error"}),
        (CompletionError("Too rude.", status=400), 400, {"message": "Too rude.", "type": "invalid_request_error"}),
        (PermissionDeniedException("Not you."), 403, {"message": "Not you.", "type": "invalid_request_error"}),
    ],
    ids=["unexpected", "completion error", "http exception"],
)
def test_an_error_of_a_hook_is_treated_as_one_of_the_service(
    serve: Serve, service: Recorder, hook: str, streaming: bool, error: Exception, status: int, expected: Json
) -> None:
    def failing(value: object) -> None:
        raise error

    hooks: dict[str, Any] = {hook: failing}
    response = ask(serve(service, hooks=Hooks(**hooks)), stream=streaming)

    assert response.status_code == status
    assert error_of(response) == {"param": None, "code": None, **expected}
    assert len(service.calls) == (1 if hook == "post_hook" else 0)


@pytest.mark.parametrize("mapper", [lambda item: 1 / 0, lambda item: item.nothing], ids=["division", "attribute"])
def test_an_error_of_the_chunk_mapper_is_one_of_the_service(
    serve: Serve, caplog: pytest.LogCaptureFixture, mapper: Callable[[Any], str]
) -> None:
    client = serve(yielding(object()), hooks=Hooks(chunk_mapper=mapper))

    for response in (ask(client), ask(client, stream=True)):
        assert response.status_code == 500
        assert error_of(response)["message"] == SERVER_ERROR
    assert "Error" in caplog.text
