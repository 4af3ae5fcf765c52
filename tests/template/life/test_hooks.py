"""Hooks around a service: what becomes of the request before it, and of the result after it."""

import asyncio
from typing import Any

import msgspec
import pytest
from litestar.exceptions import PermissionDeniedException

from app.services import Hooks
from schemas.chat import ChatCompletionRequest, Delta, Json
from tests.conftest import Serve, ask, chunks_of, error_of, message_of, returning, yielding
from tests.template.chat.scripted import Scripted
from tests.template.conftest import completion, stream

Request = ChatCompletionRequest
MESSAGES: list[Json] = [{"role": "user", "content": "Hello!"}]


@pytest.fixture
def service() -> Scripted:
    return Scripted()


def rename(request: Request) -> None:
    request.model = "other"


async def rename_async(request: Request) -> None:
    request.model = "other"


class Renaming:
    async def __call__(self, request: Request) -> None:
        request.model = "other"

    def method(self, request: Request) -> None:
        request.model = "other"


def other_messages(request: Request) -> None:
    request.messages = [{"role": "system", "content": "Be brief."}, *request.messages]


def a_message_in_place(request: Request) -> None:
    request.messages[0]["content"] = "Bonjour!"


def fields(request: Request) -> None:
    request.temperature = 0.5
    request.extra["top_k"] = 40
    del request.extra["mine"]


def a_copy_with_fields(request: Request) -> Request:
    copy = msgspec.structs.replace(request, temperature=0.5)
    copy.extra["mine"] = 2
    return copy


def a_fresh_request(request: Request) -> Request:
    return Request(model="other", messages=request.messages)


CHANGES: dict[str, tuple[Any, Json]] = {
    "nothing": (lambda request: None, {}),
    "model": (rename, {"model": "other"}),
    "model, async": (rename_async, {"model": "other"}),
    "model, by an object": (Renaming(), {"model": "other"}),
    "model, by a method": (Renaming().method, {"model": "other"}),
    "model, in a copy": (lambda request: msgspec.structs.replace(request, model="other"), {"model": "other"}),
    "messages": (other_messages, {"messages": [{"role": "system", "content": "Be brief."}, *MESSAGES]}),
    "a message in place": (a_message_in_place, {"messages": [{"role": "user", "content": "Bonjour!"}]}),
    "fields": (fields, {"temperature": 0.5, "top_k": 40, "mine": None}),
    "fields of a copy": (a_copy_with_fields, {"temperature": 0.5, "mine": 2}),
    "all fields": (a_fresh_request, {"model": "other", "temperature": None, "mine": None, "yours": None}),
}


@pytest.mark.parametrize(("hook", "changed"), CHANGES.values(), ids=CHANGES)
def test_the_service_sees_the_request_as_the_pre_hook_left_it(
    serve: Serve, service: Scripted, hook: Any, changed: Json
) -> None:
    response = ask(serve(service, hooks=Hooks(pre_hook=hook)), temperature=1, mine=1, yours={"kept": True})

    expected = {"model": "test", "messages": MESSAGES, "temperature": 1, "mine": 1, "yours": {"kept": True}} | changed
    body = {name: value for name, value in expected.items() if value is not None}
    assert service.asked == [(body["model"], body["messages"], body)]
    assert response.json()["model"] == body["model"]


@pytest.mark.parametrize("streaming", [True, False])
def test_a_pre_hook_that_changes_stream_changes_what_the_client_gets(
    serve: Serve, service: Scripted, streaming: bool
) -> None:
    def hook(request: Request) -> None:
        request.stream = not streaming

    response = ask(serve(service, hooks=Hooks(pre_hook=hook)), stream=streaming)

    if streaming:
        assert response.json() == completion("Hello!")
    else:
        assert chunks_of(response) == stream({"content": "Hello!"})
    assert service.asked[0][2]["stream"] is not streaming


def test_the_model_is_looked_up_after_the_pre_hook(serve: Serve, service: Scripted) -> None:
    def hook(request: Request) -> None:
        request.model = {"alias": "test", "test": "nope"}[request.model]

    client = serve(service, hooks=Hooks(pre_hook=hook))

    assert ask(client, model="alias").json()["model"] == "test"
    refused = ask(client, model="test")
    assert (refused.status_code, error_of(refused)["code"]) == (404, "model_not_found")
    assert len(service.asked) == 1


def test_a_post_hook_may_be_async_and_replace_the_result(serve: Serve) -> None:
    async def shout(result: str) -> str:
        return result.upper()

    client = serve(returning("Hello!"), hooks=Hooks(post_hook=shout))

    assert message_of(ask(client))["content"] == "HELLO!"
    assert chunks_of(ask(client, stream=True)) == stream({"content": "HELLO!"})


async def map_async(item: int) -> str | None:
    await asyncio.sleep(0)
    return f"<{item}>" if item else None


class Mapping:
    async def __call__(self, item: int) -> str | None:
        return await map_async(item)


@pytest.mark.parametrize("mapper", [map_async, Mapping(), lambda item: f"<{item}>" if item else None])
def test_a_chunk_mapper_may_be_async_and_return_none_for_nothing(serve: Serve, mapper: Any) -> None:
    whole = {"choices": [{"message": {"content": "!"}}]}
    client = serve(yielding(1, 0, "a", Delta(content="b"), 2, whole), hooks=Hooks(chunk_mapper=mapper))

    assert ask(client).json() == completion("<1>ab<2>!")
    assert chunks_of(ask(client, stream=True)) == stream(*({"content": text} for text in ("<1>", "a", "b", "<2>", "!")))
    two = ask(client, n=2).json()["choices"]
    assert [choice["message"]["content"] for choice in two] == ["<1>ab<2>!"] * 2


@pytest.mark.parametrize(("hook", "calls"), [("pre_hook", 0), ("post_hook", 1)])
def test_a_service_is_not_called_after_its_pre_hook_failed(
    serve: Serve, service: Scripted, hook: str, calls: int
) -> None:
    def failing(value: object) -> None:
        raise PermissionDeniedException("Not you.")

    hooks: dict[str, Any] = {hook: failing}
    response = ask(serve(service, hooks=Hooks(**hooks)))

    assert (response.status_code, error_of(response)["message"], len(service.asked)) == (403, "Not you.", calls)
