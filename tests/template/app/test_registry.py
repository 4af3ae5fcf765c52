"""The registry: a function becomes a model."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
from msgspec import UNSET

from app.engine.run import Run, current_run
from app.engine.threads import Workers
from app.errors import ModelNotFoundError
from app.registry import Pipelines
from app.services import Body, CompletionService, Messages, ModelService
from app.settings import Settings
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
    [lambda question: "", lambda a, b: "", lambda a, b, c, d: "", lambda model, messages, body, *, more: ""],
    ids=["one", "two", "four", "keyword"],
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


@pytest.mark.parametrize("stream", [False, True])
def test_a_factory_makes_a_model(serve: Serve, pipelines: Pipelines, stream: bool) -> None:
    pipelines.model("mine")(lambda: generator)
    pipelines.model("ours")(lambda settings: function)
    client = serve(pipelines)

    for name in ("mine", "ours"):
        response = ask(client, model=name, stream=stream)
        assert (text_of_stream(response) if stream else message_of(response)["content"]) == f"I am {name}"


def test_a_factory_is_not_called_before_its_model_is_asked(serve: Serve, pipelines: Pipelines) -> None:
    made: list[str] = []

    @pipelines.model("mine")
    def factory() -> Callable[..., Any]:
        made.append("mine")
        return function

    client = serve(pipelines)
    client.get("/v1/models")
    client.get("/v1/models/mine")
    assert made == []

    ask(client, model="mine")
    ask(client, model="mine")
    assert made == ["mine"]


def test_the_decorator_gives_a_factory_back(pipelines: Pipelines) -> None:
    def factory() -> Callable[..., Any]:
        return function

    assert pipelines.model("mine")(factory) is factory


@pytest.mark.parametrize("stream", [False, True])
def test_a_factory_that_fails_is_a_500_and_is_tried_again(
    serve: Serve, pipelines: Pipelines, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    results: list[Any] = [function, OSError("No such file")]

    @pipelines.model("mine")
    def factory() -> Callable[..., Any]:
        if isinstance(result := results.pop(), Exception):
            raise result
        return function

    client = serve(pipelines)

    assert ask(client, model="mine", stream=stream).status_code == 500
    assert "No such file" in caplog.text
    assert ask(client, model="mine", stream=stream).status_code == 200


def test_a_factory_of_no_model_is_a_500_whose_log_says_what_a_model_takes(
    serve: Serve, pipelines: Pipelines, caplog: pytest.LogCaptureFixture
) -> None:
    pipelines.model("mine")(lambda: lambda question: "")

    assert ask(serve(pipelines), model="mine").status_code == 500
    assert "it must take (model, messages, body)" in caplog.text


class Stateful:
    """A model that has a life."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.error: Exception | None = None

    async def __call__(self, model: str, messages: Messages, body: Body) -> str:
        self.events.append("asked")
        return "Hello!"

    async def start(self) -> None:
        await self.may_start.wait()
        if self.error is not None:
            raise self.error
        self.events.append("started")

    async def close(self) -> None:
        self.events.append("closed")


@pytest.fixture
def stateful() -> Stateful:
    return Stateful()


@pytest.mark.anyio
async def test_a_model_starts_when_it_is_first_asked_and_closes_with_the_server(
    pipelines: Pipelines, stateful: Stateful
) -> None:
    pipelines.add("mine", stateful)

    async with pipelines.serving(Settings()):
        assert stateful.events == []
        await pipelines.complete("mine", [], {})
        await pipelines.complete("mine", [], {})
        assert stateful.events == ["started", "asked", "asked"]

    assert stateful.events == ["started", "asked", "asked", "closed"]


@pytest.mark.anyio
async def test_a_model_that_nobody_asked_is_neither_started_nor_closed(
    pipelines: Pipelines, stateful: Stateful
) -> None:
    pipelines.add("mine", stateful)

    async with pipelines.serving(Settings()):
        assert not pipelines.loading

    assert stateful.events == []


@pytest.mark.anyio
async def test_a_preloaded_model_starts_with_the_server_which_does_not_wait(
    pipelines: Pipelines, stateful: Stateful
) -> None:
    stateful.may_start.clear()
    pipelines.add("mine", stateful, preload=True)
    pipelines.add("other", function)
    assert not pipelines.loading

    async with pipelines.serving(Settings()):
        await asyncio.sleep(0)
        assert pipelines.loading
        assert await pipelines.complete("other", [], {}) == "I am other"
        stateful.may_start.set()
        assert await pipelines.complete("mine", [], {}) == "Hello!"
        assert not pipelines.loading

    assert stateful.events == ["started", "asked", "closed"]


@pytest.mark.anyio
async def test_a_preloaded_model_that_fails_is_logged_and_tried_again_by_its_first_request(
    pipelines: Pipelines, stateful: Stateful, caplog: pytest.LogCaptureFixture
) -> None:
    stateful.error = OSError("No such file")
    pipelines.add("mine", stateful, preload=True)

    async with pipelines.serving(Settings()):
        while not caplog.records:  # noqa: ASYNC110 - nothing here sets an event
            await asyncio.sleep(0)
        assert not pipelines.loading
        stateful.error = None
        assert await pipelines.complete("mine", [], {}) == "Hello!"

    (record,) = caplog.records
    assert record.getMessage() == "The model 'mine' could not be loaded; its first request tries again"
    assert "No such file" in caplog.text


@pytest.mark.anyio
async def test_a_server_that_stops_does_not_wait_for_a_model_that_loads(
    pipelines: Pipelines, stateful: Stateful, caplog: pytest.LogCaptureFixture
) -> None:
    stateful.may_start.clear()
    pipelines.add("mine", stateful, preload=True)

    async with asyncio.timeout(10), pipelines.serving(Settings()):
        await asyncio.sleep(0)

    assert "started" not in stateful.events
    assert not caplog.records


@pytest.mark.anyio
async def test_one_model_that_fails_to_close_leaves_the_others_closed(pipelines: Pipelines, stateful: Stateful) -> None:
    class Stubborn(Stateful):
        async def close(self) -> None:
            raise OSError("Stuck")

    pipelines.add("stubborn", Stubborn())
    pipelines.add("mine", stateful)

    async with AsyncExitStack() as stack:
        stack.enter_context(pytest.raises(OSError, match="Stuck"))
        await stack.enter_async_context(pipelines.serving(Settings()))
        await pipelines.complete("stubborn", [], {})
        await pipelines.complete("mine", [], {})

    assert stateful.events == ["started", "asked", "closed"]


@pytest.mark.anyio
async def test_a_factory_gets_the_settings_of_the_server(pipelines: Pipelines) -> None:
    seen: list[Settings] = []

    @pipelines.model("mine")
    def factory(settings: Settings) -> Callable[..., Any]:
        seen.append(settings)
        return function

    async with pipelines.serving(Settings(owned_by="me")):
        await pipelines.complete("mine", [], {})

    assert seen == [Settings(owned_by="me")]


def when_the_docs_are_public(settings: Settings) -> bool:
    return settings.public_docs


@pytest.mark.anyio
async def test_a_model_is_offered_when_the_settings_allow_for_it(pipelines: Pipelines) -> None:
    pipelines.add("mine", function, when=when_the_docs_are_public)
    pipelines.add("other", function)

    async with pipelines.serving(Settings(public_docs=True)):
        assert [model.id for model in await pipelines.list_models()] == ["mine", "other"]
        assert await pipelines.complete("mine", [], {}) == "I am mine"
    async with pipelines.serving(Settings()):
        assert [model.id for model in await pipelines.list_models()] == ["other"]


@pytest.mark.anyio
async def test_a_model_that_is_not_offered_is_neither_found_nor_named(pipelines: Pipelines) -> None:
    pipelines.add("mine", function, when=when_the_docs_are_public)
    pipelines.add("other", function)

    async with pipelines.serving(Settings()):
        with pytest.raises(ModelNotFoundError) as caught:
            await pipelines.complete("mine", [], {})

    assert caught.value.message == "The model 'mine' does not exist. Available: other."


def test_a_model_that_is_not_offered_is_a_404_and_not_listed(serve: Serve, pipelines: Pipelines) -> None:
    pipelines.add("mine", function, when=when_the_docs_are_public)
    pipelines.add("other", function)
    client = serve(pipelines)

    response = ask(client, model="mine")

    assert response.status_code == 404
    assert error_of(response)["message"] == "The model 'mine' does not exist. Available: other."
    assert client.get("/v1/models/mine").status_code == 404
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["other"]


@pytest.mark.anyio
async def test_a_model_that_is_not_offered_is_not_preloaded(pipelines: Pipelines, stateful: Stateful) -> None:
    pipelines.add("mine", stateful, preload=True, when=when_the_docs_are_public)

    async with pipelines.serving(Settings()):
        assert not pipelines.loading

    assert stateful.events == []
