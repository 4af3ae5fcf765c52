"""The registry: a function becomes a model."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
from msgspec import UNSET

from app.completions.context import Run, current_run
from app.completions.workers import Workers
from app.errors import ModelNotFoundError
from app.registry import Pipelines
from app.services import Body, CompletionService, Messages, ModelService
from schemas.models import Model
from tests.conftest import Json, Serve, ask, error_of, message_of, text_of_stream


@pytest.fixture
def pipelines() -> Pipelines:
    return Pipelines()


def function(model: str, messages: Messages, body: Body) -> str:
    return f"I am {model}"


def generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield f"I am {model}"


async def async_function(model: str, messages: Messages, body: Body) -> str:
    return f"I am {model}"


async def async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    yield f"I am {model}"


def with_headers(model: str, messages: Messages, body: Body, headers: Mapping[str, str]) -> str:
    assert "host" in headers
    return f"I am {model}"


@pytest.mark.parametrize("registered", [function, generator, async_function, async_generator, with_headers])
def test_any_function_becomes_a_model(serve: Serve, pipelines: Pipelines, registered: Callable[..., Any]) -> None:
    pipelines.add("mine", registered)
    client = serve(pipelines)

    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["mine"]
    assert message_of(ask(client, model="mine"))["content"] == "I am mine"
    assert text_of_stream(ask(client, model="mine", stream=True)) == "I am mine"


def test_the_decorator_gives_the_function_back(pipelines: Pipelines) -> None:
    decorated = pipelines.model("mine")(function)

    assert decorated is function
    assert pipelines.models["mine"].function is function


def test_one_function_may_be_several_models(serve: Serve, pipelines: Pipelines) -> None:
    pipelines.model("a")(pipelines.model("b")(function))

    assert list(pipelines.models) == ["b", "a"]
    assert message_of(ask(serve(pipelines), model="b"))["content"] == "I am b"


@pytest.mark.anyio
@pytest.mark.parametrize("fields", [{}, {"owned_by": "me"}, {"created": 7}, {"owned_by": "me", "created": 7}])
async def test_a_model_says_who_owns_it_and_when_it_was_made(pipelines: Pipelines, fields: Json) -> None:
    pipelines.model("decorated", **fields)(function)
    pipelines.add("added", function, **fields)

    expected = {"created": UNSET, "owned_by": UNSET, **fields}
    assert await pipelines.list_models() == [Model(id="decorated", **expected), Model(id="added", **expected)]


def test_a_model_has_a_prompt_that_it_can_answer(pipelines: Pipelines) -> None:
    pipelines.add("a", function)
    pipelines.add("b", function, prompt="What is the weather?")

    assert [model.prompt for model in pipelines.models.values()] == ["Hello!", "What is the weather?"]


@pytest.mark.anyio
@pytest.mark.parametrize("outlives_client", [True, False])
async def test_a_model_may_outlive_its_client(pipelines: Pipelines, outlives_client: bool) -> None:
    run = Run(Workers(1), outlives_client=False)
    current_run.set(run)
    pipelines.add("mine", function, outlives_client=outlives_client)

    await pipelines.complete("mine", [], {})

    assert run.outlives_client is outlives_client


def test_two_models_of_one_name_are_refused_with_the_places_of_both(pipelines: Pipelines) -> None:
    pipelines.add("mine", function)

    with pytest.raises(ValueError, match=r"'mine'.*test_registry\.function and .*test_registry\.generator"):
        pipelines.add("mine", generator)


def test_two_models_of_one_name_are_refused_whatever_the_functions_are(pipelines: Pipelines) -> None:
    class Callables:
        def __call__(self, model: str, messages: Messages, body: Body) -> str:
            return ""

    pipelines.add("mine", Callables())

    with pytest.raises(ValueError, match="'mine'"):
        pipelines.add("mine", Callables())


def test_a_model_without_a_name_is_refused(pipelines: Pipelines) -> None:
    with pytest.raises(ValueError, match="needs a name"):
        pipelines.model("")(function)


@pytest.mark.parametrize(
    "wrong",
    [lambda: "", lambda a, b: "", lambda a, b, c, d: "", lambda model, messages, body, *, more: ""],
    ids=["none", "two", "four", "keyword"],
)
def test_a_function_of_other_arguments_is_refused(pipelines: Pipelines, wrong: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"must take \(model, messages, body\)"):
        pipelines.add("mine", wrong)

    assert not pipelines.models


def test_a_registry_is_both_services(pipelines: Pipelines) -> None:
    assert isinstance(pipelines, CompletionService)
    assert isinstance(pipelines, ModelService)


def test_models_cannot_be_changed_past_the_registry(pipelines: Pipelines) -> None:
    with pytest.raises(TypeError):
        pipelines.models["mine"] = None  # type: ignore[index]  # which the type says too


@pytest.mark.anyio
async def test_a_model_that_is_not_registered_is_not_found(pipelines: Pipelines) -> None:
    pipelines.add("mine", function)

    with pytest.raises(ModelNotFoundError, match=r"'nope' does not exist\. Available: mine"):
        await pipelines.complete("nope", [], {})


def test_another_model_service_cannot_make_the_registry_fail(serve: Serve, pipelines: Pipelines) -> None:
    class More(Pipelines):
        async def list_models(self) -> list[Model]:
            return [Model(id="elsewhere")]

    response = ask(serve(More()), model="elsewhere")

    assert response.status_code == 404
    assert error_of(response)["code"] == "model_not_found"
