"""The registry of models, and the service that answers with them in one application."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import cache, partial, wraps
from typing import Any

import pytest
from msgspec import UNSET

from app.engine.run import Run, current_run
from app.engine.threads import Workers
from app.registry import Pipelines, PipelineService
from app.services import Body, CompletionService, Messages, ModelService
from app.settings import Settings
from schemas.chat import Json
from schemas.models import Model
from tests.conftest import Client, Serve, ask, error_of, given, message_of, streamed_text

pytestmark = pytest.mark.anyio
MANY = 50
PATIENCE = 30.0  # seconds after which a test gives up


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


@wraps(function)
def wrapped(*args: Any, **kwargs: Any) -> str:
    return function(*args, **kwargs)


class Stateful:
    """A model that notes what is done to it; `start` and `close` have to run on the event loop."""

    def __init__(self, *, error: Exception | None = None) -> None:
        self.events: list[str] = []
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.error = error

    async def __call__(self, model: str, messages: Messages, body: Body) -> str:
        self.events.append("asked")
        return f"I am {model}"

    async def start(self) -> None:
        self.events.append("starting")
        await self.may_start.wait()
        if self.error is not None:
            raise self.error
        self.events[-1] = "started"

    async def close(self) -> None:
        asyncio.get_running_loop()
        self.events.append("closed")


@pytest.fixture
def stateful() -> Stateful:
    return Stateful()


def service_of(pipelines: Pipelines, **settings: Any) -> PipelineService:
    return PipelineService(pipelines, Settings(**settings))


@asynccontextmanager
async def running(pipelines: Pipelines, **settings: Any) -> AsyncIterator[PipelineService]:
    async with (service := service_of(pipelines, **settings)).running():
        yield service


async def answer(service: PipelineService, model: str = "mine") -> str:
    text: str = await service.complete(model, [], {})
    return text


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not happened():  # noqa: ASYNC110 - nothing here sets an event
            await asyncio.sleep(0.001)


def listed(client: Client) -> list[str]:
    return [model["id"] for model in client.get("/v1/models").json()["data"]]


@pytest.mark.parametrize(
    "registered",
    [
        *(function, generator, async_function, async_generator, with_headers),
        pytest.param(wrapped, id="wrapped"),
        pytest.param(Stateful(), id="object"),
    ],
)
def test_any_function_becomes_a_model(serve: Serve, pipelines: Pipelines, registered: Callable[..., Any]) -> None:
    pipelines.add("mine", registered)
    client = serve(pipelines)

    assert listed(client) == ["mine"]
    assert message_of(ask(client, model="mine"))["content"] == "I am mine"
    assert streamed_text(ask(client, model="mine", stream=True)) == "I am mine"


def test_the_decorators_give_the_function_back(pipelines: Pipelines) -> None:
    async def resource() -> AsyncGenerator[str, None]:
        yield ""

    def factory() -> Callable[..., Any]:
        return function

    assert pipelines.model("mine")(function) is function
    assert pipelines.factory("made")(factory) is factory
    assert pipelines.resource(resource) is resource


def test_one_function_may_be_several_models(serve: Serve, pipelines: Pipelines) -> None:
    pipelines.model("a")(pipelines.model("b")(function))

    assert list(pipelines.models) == ["b", "a"]
    assert message_of(ask(serve(pipelines), model="b"))["content"] == "I am b"


@pytest.mark.parametrize("fields", [{}, {"owned_by": "me"}, {"created": 7}, {"owned_by": "me", "created": 7}])
async def test_a_model_says_who_owns_it_and_when_it_was_made(pipelines: Pipelines, fields: Json) -> None:
    pipelines.model("decorated", **fields)(function)
    pipelines.add("added", function, **fields)
    pipelines.factory("made", **fields)(lambda: function)

    expected = {"created": UNSET, "owned_by": UNSET, **fields}
    names = ("decorated", "added", "made")
    assert await service_of(pipelines).list_models() == [Model(id=name, **expected) for name in names]


def test_a_model_has_a_prompt_that_it_can_answer(pipelines: Pipelines) -> None:
    pipelines.add("a", function)
    pipelines.add("b", function, prompt="What is the weather?")

    assert [model.prompt for model in pipelines.models.values()] == ["Hello!", "What is the weather?"]


@pytest.mark.parametrize("outlives_client", [True, False])
async def test_a_model_may_outlive_its_client(pipelines: Pipelines, outlives_client: bool) -> None:
    run = Run(Workers(1), outlives_client=False)
    current_run.set(run)
    pipelines.add("mine", function, outlives_client=outlives_client)

    await service_of(pipelines).complete("mine", [], {})

    assert run.outlives_client is outlives_client


def test_two_models_of_one_name_are_refused_with_the_places_of_both(pipelines: Pipelines) -> None:
    pipelines.add("mine", function)
    other = Pipelines()
    other.add("mine", generator)

    for register in (partial(pipelines.add, "mine", generator), partial(pipelines.include, other)):
        with pytest.raises(ValueError, match=r"'mine'.*test_registry\.function and .*test_registry\.generator"):
            register()
    with pytest.raises(ValueError, match="'mine'"):
        pipelines.add("mine", Stateful())


def test_a_model_without_a_name_is_refused(pipelines: Pipelines) -> None:
    with pytest.raises(ValueError, match="needs a name"):
        pipelines.model("")(function)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda question: "",
        lambda a, b: "",
        lambda a, b, c, d: "",
        lambda model, messages, body, *, more: "",
        lambda: function,
        lambda settings: function,
        cache(lambda: function),
    ],
    ids=["one", "two", "four", "keyword", "a factory", "a factory of settings", "a cached factory"],
)
def test_a_function_of_other_arguments_is_refused(pipelines: Pipelines, wrong: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"must take \(model, messages, body\)"):
        pipelines.add("mine", wrong)
    with pytest.raises(TypeError, match=r"must take \(model, messages, body\)"):
        pipelines.model("mine")(wrong)

    assert not pipelines.models


def test_the_service_of_a_registry_is_both_services(pipelines: Pipelines) -> None:
    assert isinstance(service_of(pipelines), CompletionService)
    assert isinstance(service_of(pipelines), ModelService)


def test_models_cannot_be_changed_past_the_registry(pipelines: Pipelines) -> None:
    with pytest.raises(TypeError):
        pipelines.models["mine"] = None  # type: ignore[index]  # which the type says too


def test_a_model_service_that_lists_others_cannot_make_the_registry_fail(serve: Serve, pipelines: Pipelines) -> None:
    class Others:
        def list_models(self) -> list[str]:
            return ["elsewhere"]

    response = ask(serve(pipelines, dependencies={"model_service": given(Others())}), model="elsewhere")

    assert response.status_code == 404
    assert error_of(response)["code"] == "model_not_found"


async def test_a_factory_makes_the_model_once_when_it_is_first_asked(serve: Serve, pipelines: Pipelines) -> None:
    seen: list[object] = []

    @pipelines.factory("mine")
    def factory(settings: Settings) -> Callable[..., Any]:
        seen.append(settings.owned_by)
        return generator

    client = serve(pipelines, owned_by="me")
    client.get("/v1/models")
    client.get("/v1/models/mine")
    assert seen == []

    assert message_of(ask(client, model="mine"))["content"] == "I am mine"
    assert streamed_text(ask(client, model="mine", stream=True)) == "I am mine"
    assert seen == ["me"]


async def test_a_sync_factory_runs_in_a_thread_and_an_async_one_on_the_event_loop(pipelines: Pipelines) -> None:
    threads: list[threading.Thread] = []

    @pipelines.factory("sync")
    def factory() -> Callable[..., Any]:
        threads.append(threading.current_thread())
        return function

    @pipelines.factory("async")
    async def async_factory() -> Callable[..., Any]:
        threads.append(threading.current_thread())
        return function

    async with running(pipelines) as service:
        assert [await answer(service, name) for name in ("sync", "async")] == ["I am sync", "I am async"]

    here = threading.current_thread()
    assert [thread is here for thread in threads] == [False, True]


async def test_a_cached_factory_is_a_factory(pipelines: Pipelines) -> None:
    pipelines.factory("none")(cache(lambda: function))
    pipelines.factory("settings")(cache(lambda settings: function))

    async with running(pipelines) as service:
        assert [await answer(service, name) for name in pipelines.models] == ["I am none", "I am settings"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("made", "logged"),
    [
        (OSError("No such file"), "No such file"),
        (SystemExit(1), "SystemExit"),
        (asyncio.CancelledError(), "CancelledError"),
        (lambda question: "", "it must take (model, messages, body)"),
    ],
    ids=["an error", "an exit", "a cancellation", "no model"],
)
def test_a_factory_that_fails_is_a_500_and_is_called_again(
    serve: Serve, pipelines: Pipelines, caplog: pytest.LogCaptureFixture, made: Any, logged: str, stream: bool
) -> None:
    results: list[Any] = [function, made]

    @pipelines.factory("mine")
    def factory() -> Callable[..., Any]:
        if isinstance(result := results.pop(), BaseException):
            raise result
        return result  # type: ignore[no-any-return]  # of any type, as a wrong factory may return

    client = serve(pipelines)

    assert ask(client, model="mine", stream=stream).status_code == 500
    assert logged in caplog.text
    assert ask(client, model="mine", stream=stream).status_code == 200


async def test_a_model_is_made_and_started_once_for_many_requests_at_once(
    pipelines: Pipelines, stateful: Stateful
) -> None:
    made: list[Stateful] = []
    go = threading.Event()

    @pipelines.factory("mine")
    def factory() -> Stateful:
        go.wait(PATIENCE)
        made.append(stateful)
        return stateful

    async with running(pipelines) as service:
        first, *others = [asyncio.create_task(answer(service)) for _ in range(MANY)]
        await asyncio.sleep(0)
        first.cancel()  # whose leaving stops nothing
        go.set()
        assert await asyncio.gather(*others) == ["I am mine"] * (MANY - 1)

    assert first.cancelled()
    assert made == [stateful]
    assert stateful.events == ["started", *["asked"] * (MANY - 1), "closed"]


async def test_all_requests_get_the_failure_of_a_factory_and_asyncio_logs_none_if_all_have_left(
    pipelines: Pipelines, caplog: pytest.LogCaptureFixture
) -> None:
    go = threading.Event()

    @pipelines.factory("mine")
    def factory() -> Callable[..., Any]:
        go.wait(PATIENCE)
        raise OSError("No such file")

    async with running(pipelines) as service:
        asking = [asyncio.create_task(answer(service)) for _ in range(3)]
        await asyncio.sleep(0)
        asking[0].cancel()
        go.set()
        errors = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(error) for error in errors] == [asyncio.CancelledError, OSError, OSError]

        alone = asyncio.create_task(answer(service))
        await asyncio.sleep(0)
        alone.cancel()

    assert not caplog.records


@pytest.mark.parametrize("makes", [False, True], ids=["added", "made"])
async def test_a_model_starts_before_its_first_answer_and_closes_with_the_application(
    pipelines: Pipelines, stateful: Stateful, makes: bool
) -> None:
    if makes:
        pipelines.factory("mine")(lambda: stateful)
    else:
        pipelines.add("mine", stateful)
    service = service_of(pipelines)

    for _ in range(2):  # an application may run again
        stateful.events.clear()
        async with service.running():
            assert not service.loading
            assert stateful.events == []
            await answer(service)
            await answer(service)
        assert stateful.events == ["started", "asked", "asked", "closed"]

    stateful.events.clear()
    async with service.running():
        pass
    assert stateful.events == [], "a model that nobody asked is neither started nor closed"


async def test_a_sync_start_runs_in_a_thread(pipelines: Pipelines) -> None:
    threads: list[threading.Thread] = []

    class Loading:
        async def __call__(self, model: str, messages: Messages, body: Body) -> str:
            return ""

        def start(self) -> None:
            threads.append(threading.current_thread())

    pipelines.add("mine", Loading())
    async with running(pipelines) as service:
        await answer(service)

    assert len(threads) == 1
    assert threads != [threading.current_thread()]


async def test_a_model_that_fails_to_start_is_tried_again_and_closed_if_it_was_made(pipelines: Pipelines) -> None:
    added, first, second = Stateful(error=OSError("No key")), Stateful(error=OSError("No key")), Stateful()
    made = [second, first]
    pipelines.add("added", added)
    pipelines.factory("made")(lambda: made.pop())

    async with running(pipelines) as service:
        for name in pipelines.models:
            with pytest.raises(OSError, match="No key"):
                await answer(service, name)
        added.error = None
        assert [await answer(service, name) for name in pipelines.models] == ["I am added", "I am made"]

    assert first.events == ["starting", "closed"]
    assert second.events == ["started", "asked", "closed"]
    assert added.events == ["starting", "started", "asked", "closed"]
