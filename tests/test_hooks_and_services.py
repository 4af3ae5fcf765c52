"""Hooks and services of your own, which replace the defaults by dependency injection."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation
from msgspec.structs import replace

from app.errors import CompletionError
from app.pipeline_service import PipelineService
from app.registry import Pipelines
from app.services import Body, CompletionService, Hooks, Messages
from schemas.chat import ChatCompletionRequest
from schemas.models import Model
from tests.conftest import Serve, ask, error_of, given, message_of, returning, streamed_text, yielding
from tests.factories import ModelFactory


def echo(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield f"{messages[-1].get('content')} {body.get('top_k')}"


def test_hooks_may_replace_the_request_and_the_result(serve: Serve) -> None:
    async def pre_hook(request: ChatCompletionRequest) -> ChatCompletionRequest:
        return replace(request, messages=[{"role": "user", "content": "Changed"}])

    client = serve(echo, hooks=Hooks(pre_hook=pre_hook, post_hook=lambda result: (f"{item}!" for item in result)))
    assert message_of(ask(client, top_k=3))["content"] == "Changed 3!"
    assert streamed_text(ask(client, top_k=3, stream=True)) == "Changed 3!"


def test_hooks_that_return_none_only_observe(serve: Serve) -> None:
    seen: list[Any] = []
    client = serve(echo, hooks=Hooks(pre_hook=seen.append, post_hook=seen.append))
    assert message_of(ask(client))["content"] == "Hello! None"
    assert [type(value).__name__ for value in seen] == ["ChatCompletionRequest", "generator"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_exception_of_a_hook_is_one_of_the_service(serve: Serve, stream: bool) -> None:
    def failing(_: object) -> None:
        raise CompletionError("Not today.", status=403)

    for hooks in (Hooks(pre_hook=failing), Hooks(post_hook=failing)):
        response = ask(serve(echo, hooks=hooks), stream=stream)
        assert (response.status_code, error_of(response)["message"]) == (403, "Not today.")


def test_a_chunk_mapper_gives_the_text_of_items_of_other_types(serve: Serve) -> None:
    client = serve(yielding(1, 2), hooks=Hooks(chunk_mapper=lambda item: f"<{item}>"))
    assert message_of(ask(client))["content"] == streamed_text(ask(client, stream=True)) == "<1><2>"


class Mine:
    model: Model = ModelFactory.build()

    async def complete(self, model: str, messages: Messages, body: Body) -> str:
        return f"Mine: {model}"

    def list_models(self) -> Sequence[str | Model]:
        return ["test", self.model]


def test_a_service_may_list_models_by_name_or_in_full(serve: Serve) -> None:
    for client in (serve(Mine()), serve(echo, dependencies={"model_service": given(Mine())})):
        listed = client.get("/v1/models").json()["data"]
        assert [model["id"] for model in listed] == ["test", Mine.model.id]
        assert listed[1]["created"] == Mine.model.created


def test_a_service_may_wrap_the_models_of_the_registry(serve: Serve) -> None:
    async def provide(pipelines: NamedDependency[SkipValidation[PipelineService]]) -> CompletionService:
        async def complete(model: str, messages: Messages, body: Body) -> str:
            return f"{await pipelines.complete(model, messages, body)}!"

        return SimpleNamespace(complete=complete)

    registry = Pipelines()
    registry.factory("test", when=lambda settings: settings.owned_by == "me")(lambda: returning("Hello"))
    client = serve(registry, owned_by="me", dependencies={"completion_service": Provide(provide)})
    assert message_of(ask(client))["content"] == "Hello!"
