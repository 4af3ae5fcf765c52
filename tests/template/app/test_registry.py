"""The registry of models: what it takes, how models are made, started and closed, and each application apart."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from openai.types import Model as OpenAIModel

from app import pipelines as pipelines_module
from app.app import create_app
from app.pipeline_service import PipelineService
from app.registry import Pipelines
from app.services import Body, Messages
from app.settings import Settings
from tests.conftest import PATIENCE, Serve, ask, error_of, given, message_of, returning, streamed_text, until
from tests.template.asgi import AsgiClient
from tests.template.asgi import until as until_async

pytestmark = pytest.mark.anyio


@pytest.fixture
def pipelines() -> Pipelines:
    return Pipelines()


def function(model: str, messages: Messages, body: Body) -> str:
    return f"I am {model}"


class Stateful:
    """A model that records what happens to it."""

    def __init__(
        self, events: list[str] | None = None, *, error: Exception | None = None, never_starts: bool = False
    ) -> None:
        self.events = [] if events is None else events
        self.error = error
        self.never_starts = never_starts

    async def __call__(self, model: str, messages: Messages, body: Body) -> str:
        self.events.append("asked")
        return f"I am {model}"

    async def start(self) -> None:
        self.events.append("starting")
        if self.never_starts:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        self.events[-1] = "started"

    async def close(self) -> None:
        await asyncio.sleep(0)  # fails unless it runs on the event loop
        self.events.append("closed")


@asynccontextmanager
async def running(pipelines: Pipelines, **settings: Any) -> AsyncIterator[PipelineService]:
    async with (service := PipelineService(pipelines, Settings(**settings))).running():
        yield service


async def answer(service: PipelineService, model: str = "mine") -> Any:
    return await service.complete(model, [], {})


def resource_called(name: str) -> Callable[..., AsyncGenerator[str, None]]:
    async def resource() -> AsyncGenerator[str, None]:
        yield ""

    resource.__name__ = name
    return resource


def test_each_way_to_register_takes_the_same_options_and_returns_the_function(
    serve: Serve, pipelines: Pipelines
) -> None:
    options: Any = {"owned_by": "me", "prompt": "Why?"}
    factory = cache(lambda: function)
    assert pipelines.model("decorated", **options)(function) is function
    assert pipelines.factory("made", **options)(factory) is factory
    assert pipelines.resource(resource := resource_called("pool")) is resource
    pipelines.add("added", wraps(function)(lambda *args, **kwargs: function(*args, **kwargs)), **options)
    pipelines.add("plain", Stateful())
    client = serve(pipelines)

    assert [model.prompt for model in pipelines.models.values()] == [*["Why?"] * 3, "Hello!"]
    assert [model["owned_by"] for model in client.get("/v1/models").json()["data"]] == [*["me"] * 3, "custom"]
    for name in pipelines.models:
        assert message_of(ask(client, model=name))["content"] == f"I am {name}"
        assert streamed_text(ask(client, model=name, stream=True)) == f"I am {name}"


@dataclass
class Undocumented:  # `dataclass` writes a docstring
    number: int = 1

    def __call__(self, model: str, messages: Messages, body: Body) -> str:
        return model


def documented(model: str, messages: Messages, body: Body, more: int = 0) -> str:
    """Answer
    at once.

    This is for developers.
    """
    return function(model, messages, body)


@pytest.mark.parametrize(
    ("registered", "options", "description"),
    [
        (documented, {}, "Answer at once."),
        (partial(partial(documented, more=1)), {}, "Answer at once."),
        (Stateful(), {}, "A model that records what happens to it."),
        (documented, {"description": "My own."}, "My own."),
        (documented, {"description": ""}, None),
        (function, {}, None),
        (partial(function), {}, None),
        (Undocumented(), {}, None),
    ],
)
def test_the_list_says_what_a_model_does_by_its_docstring(
    serve: Serve, pipelines: Pipelines, registered: Any, options: Any, description: str | None
) -> None:
    def factory() -> Any:
        return registered

    factory.__doc__ = documented.__doc__ if description else None
    pipelines.add("added", registered, **options)
    pipelines.factory("made", **options)(factory)
    pipelines.factory("class")(Undocumented)
    client = serve(pipelines)

    added, made, of_class = client.get("/v1/models").json()["data"]
    assert added.get("description", None) == description
    assert "description" not in of_class
    assert made.get("description", None) == (description and options.get("description", "Answer at once."))
    assert client.get("/v1/models/added").json() == OpenAIModel.model_validate(added, strict=True).model_dump(
        exclude_unset=True
    )


def test_a_long_docstring_is_cut_and_an_embedder_is_marked(serve: Serve, pipelines: Pipelines) -> None:
    def embed(texts: list[str]) -> list[list[float]]:
        return [[1.0] for _ in texts]

    embed.__doc__ = "word " * 1000
    pipelines.embedder("vectors")(embed)
    (listed,) = serve(pipelines).get("/v1/models").json()["data"]
    assert listed["type"] == "embeddings"
    assert listed["description"].endswith("word …")
    assert 290 < len(listed["description"]) <= 300


def test_a_name_that_is_taken_is_refused_with_the_places_of_both_models(pipelines: Pipelines) -> None:
    pipelines.add("mine", function)
    pipelines.resource(resource_called("pool"))
    other = Pipelines()
    other.add("mine", Stateful())
    for register in (partial(pipelines.add, "mine", Stateful()), partial(pipelines.include, other)):
        with pytest.raises(ValueError, match=r"'mine'.*test_registry\.function and .*test_registry\.Stateful"):
            register()
    for name in ("pool", "settings"):
        with pytest.raises(ValueError, match=f"'{name}'"):
            pipelines.resource(resource_called(name))
    with pytest.raises(ValueError, match="needs a name"):
        pipelines.model("")(function)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a, b, c, d: "",
        lambda model, messages, body, *, more: "",
        lambda settings: function,
        cache(lambda: function),
    ],
    ids=["too many", "keyword", "a factory of settings", "a cached factory"],
)
def test_a_function_of_other_arguments_is_refused(pipelines: Pipelines, wrong: Callable[..., Any]) -> None:
    for register in (partial(pipelines.add, "mine"), pipelines.model("mine")):
        with pytest.raises(TypeError, match=r"must take \(model, messages, body\)"):
            register(wrong)
    assert not pipelines.models
    with pytest.raises(TypeError):
        pipelines.models["mine"] = None  # type: ignore[index]  # which the type says too


async def test_a_factory_or_resource_takes_only_settings_and_resources_and_those_opened_before_are_closed(
    pipelines: Pipelines,
) -> None:
    model = Stateful()

    @pipelines.resource
    async def first() -> AsyncGenerator[None, None]:
        model.events.append("opened")
        yield
        model.events.append("closed")

    pipelines.add("preloaded", model, preload=True)
    pipelines.factory("mine")(lambda settings, pool: function)
    async with running(pipelines) as service:
        with pytest.raises(TypeError, match=r"takes pool, which is neither .*Available: settings, first\."):
            await answer(service)
    model.events.clear()

    pipelines.resource(lambda pool: resource_called("second")())
    with pytest.raises(TypeError, match=r"takes pool, which is neither .*Available: settings, first\."):
        await running(pipelines).__aenter__()
    assert model.events == ["opened", "closed"]


async def test_sync_factories_and_starts_run_in_a_thread_and_async_ones_on_the_event_loop(pipelines: Pipelines) -> None:
    threads: list[threading.Thread] = []
    starting = Stateful()

    def factory() -> Callable[..., Any]:
        threads.append(threading.current_thread())
        return function

    async def async_factory() -> Callable[..., Any]:
        return factory()

    starting.start = factory  # type: ignore[assignment, method-assign]  # sync, which it may be
    pipelines.factory("sync")(factory)
    pipelines.factory("async")(async_factory)
    pipelines.add("starting", starting)
    pipelines.factory("cached")(cache(lambda: function))
    pipelines.factory("cached with settings")(cache(lambda settings: function))

    async with running(pipelines) as service:
        assert all([await answer(service, name) == f"I am {name}" for name in pipelines.models])
    assert sorted(thread is threading.current_thread() for thread in threads) == [False, False, True]


@pytest.mark.parametrize(
    ("made", "logged"),
    [
        (OSError("No such file"), "No such file"),
        (Stateful(error=OSError("No key")), "No key"),
        (SystemExit(1), "SystemExit"),
        (asyncio.CancelledError(), "CancelledError"),
        (lambda question: "", "it must take (model, messages, body)"),
    ],
    ids=["an error", "no start", "an exit", "a cancellation", "no model"],
)
def test_a_factory_that_fails_is_a_500_with_its_reason_in_the_log_and_is_called_again(
    serve: Serve, pipelines: Pipelines, caplog: pytest.LogCaptureFixture, made: Any, logged: str
) -> None:
    results: list[Any] = [function, made]

    @pipelines.factory("mine", preload=False)
    def factory() -> Any:
        if isinstance(result := results.pop(), BaseException):
            raise result
        return result

    client = serve(pipelines)
    assert ask(client, model="mine").status_code == 500
    assert logged in caplog.text
    assert ask(client, model="mine", stream=True).status_code == 200


@pytest.mark.parametrize("error", [None, OSError("No such file")])
async def test_requests_at_once_share_one_model_or_its_failure_although_the_first_has_left(
    pipelines: Pipelines, caplog: pytest.LogCaptureFixture, error: Exception | None
) -> None:
    made: list[Stateful] = []
    go = threading.Event()

    @pipelines.factory("mine", preload=False)
    def factory() -> Stateful:
        go.wait(PATIENCE)
        made.append(Stateful(error=error))
        return made[-1]

    async with running(pipelines) as service:
        first, *others = [asyncio.create_task(answer(service)) for _ in range(50)]
        await asyncio.sleep(0)
        first.cancel()  # stops nothing for the others
        go.set()
        assert {*await asyncio.gather(*others, return_exceptions=True)} == {error or "I am mine"}
    assert [event for event in made[0].events if event != "asked"] == ["starting" if error else "started", "closed"]
    assert (first.cancelled(), len(made), caplog.records) == (True, 1, [])


async def test_a_model_starts_before_its_first_answer_and_closes_with_the_application(pipelines: Pipelines) -> None:
    model = Stateful()
    pipelines.add("mine", model)
    service = PipelineService(pipelines, Settings())

    for _ in range(2):  # an application may run again
        async with service.running():
            assert (service.loading, model.events) == (False, [])
            assert await answer(service) == await answer(service) == "I am mine"
        assert model.events == ["started", "asked", "asked", "closed"]
        model.events.clear()
    async with service.running():
        pass
    assert model.events == [], "a model that nobody asked is neither started nor closed"


def test_an_application_is_not_ready_until_its_preloaded_model_is_made_whatever_service_it_has(
    serve: Serve, pipelines: Pipelines
) -> None:
    go = threading.Event()
    pipelines.factory("mine", preload=True)(lambda: (go.wait(PATIENCE), function)[1])
    service = SimpleNamespace(complete=returning("Hello!"))
    client = serve(pipelines, dependencies={"completion_service": given(service)})

    assert (client.get("/ready").status_code, ask(client, model="mine").status_code) == (503, 200)
    go.set()
    until(lambda: client.get("/ready").status_code == 200)


async def test_a_factory_makes_its_model_while_the_application_starts_and_others_answer_unless_it_says_otherwise(
    pipelines: Pipelines,
) -> None:
    started, go, made = threading.Event(), threading.Event(), list[str]()

    def factory(name: str) -> Callable[[], Callable[..., Any]]:
        def make() -> Callable[..., Any]:
            made.append(name)
            started.set()
            go.wait(PATIENCE)
            return function

        return make

    pipelines.factory("slow")(factory("slow"))
    pipelines.factory("at its first request", preload=False)(factory("at its first request"))
    pipelines.add("other", function)

    async with running(pipelines) as service:
        assert await asyncio.to_thread(started.wait, PATIENCE)
        assert (service.loading, made, await answer(service, "other")) == (False, ["slow"], "I am other")
        go.set()
        assert await answer(service, "slow") == "I am slow"
        assert made == ["slow"]
        assert await answer(service, "at its first request") == "I am at its first request"


@pytest.mark.parametrize("preload", [None, False])
async def test_factories_in_threads_run_one_after_another_as_not_all_packages_can_be_imported_twice_at_once(
    pipelines: Pipelines, preload: bool | None
) -> None:
    running_now, most = list[str](), list[int]()

    def factory(name: str) -> Callable[[], Callable[..., Any]]:
        def make() -> Callable[..., Any]:
            running_now.append(name)
            threading.Event().wait(0.02)  # in which others would begin
            most.append(len(running_now))
            running_now.remove(name)
            return function

        return make

    for name in ("one", "two", "three"):
        pipelines.factory(name, preload=preload)(factory(name))

    async with running(pipelines) as service:
        assert len(await asyncio.gather(*(answer(service, name) for name in pipelines.models))) == 3
    assert most == [1, 1, 1]


@pytest.mark.parametrize("preload", [None, False])
async def test_the_head_of_a_stream_and_comments_go_out_while_its_model_is_made(
    pipelines: Pipelines, preload: bool | None
) -> None:
    go = threading.Event()

    @pipelines.factory("mine", preload=preload)
    def make() -> Callable[..., str]:
        go.wait(PATIENCE)
        return function

    app = create_app(settings=Settings(keep_alive_interval=0.01), pipelines=pipelines)

    async with app.lifespan(), AsgiClient(app, "mine", stream=True) as client:
        await until_async(lambda: client.received.count(b": keep-alive") > 1)
        go.set()
        await until_async(lambda: b"I am mine" in client.received)


def test_a_preloaded_model_that_fails_is_logged_and_tried_again_by_its_first_request(
    serve: Serve, pipelines: Pipelines, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Stateful(error=OSError("No such file"))
    pipelines.add("mine", failing, preload=True)
    client = serve(pipelines)
    sentence = "The model 'mine' could not be loaded: OSError('No such file'). Its first request tries again."
    until(lambda: sentence in caplog.text)
    failing.error = None

    assert client.get("/ready").status_code == ask(client, model="mine").status_code == 200
    assert "Traceback" not in caplog.text
    assert failing.events == ["starting", "started", "asked"]


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("langgraph.graph", "langgraph"),
        ("agents", "openai-agents"),
        ("pydantic_ai", "pydantic-ai"),
        ("xllamacpp", "local"),
        ("numpy", "embeddings"),
        ("of_nobody", None),
        ("a(b", None),
    ],
)
async def test_the_extra_is_named_whose_package_a_factory_cannot_import(
    pipelines: Pipelines, module: str, extra: str | None
) -> None:
    def factory() -> Any:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    pipelines.factory("mine", preload=False)(factory)
    async with running(pipelines) as service:
        with pytest.raises(ModuleNotFoundError) as caught:
            await answer(service)

    hint = f": install the extra `{extra}`, e.g. by `uv run --extra {extra} litestar run`" if extra else ""
    assert str(caught.value) == f"No module named {module!r}{hint}"


async def test_models_that_start_delay_no_other_and_are_cancelled_when_the_application_stops(
    pipelines: Pipelines, caplog: pytest.LogCaptureFixture
) -> None:
    models = {"preloaded": Stateful(never_starts=True), "requested": Stateful(never_starts=True)}
    for name, model in models.items():
        pipelines.add(name, model, preload=name == "preloaded")
    pipelines.add("other", function)

    async with asyncio.timeout(PATIENCE), running(pipelines) as service:
        asking = asyncio.create_task(answer(service, "requested"))
        while not all(model.events for model in models.values()):  # noqa: ASYNC110 - nothing here sets an event
            await asyncio.sleep(0)
        assert (service.loading, await answer(service, "other")) == (True, "I am other")

    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [model.events for model in models.values()] == [["starting"]] * 2
    assert not caplog.records


def test_a_model_that_is_not_served_is_neither_retrieved_nor_named_nor_preloaded(
    serve: Serve, pipelines: Pipelines
) -> None:
    hidden = Stateful()
    pipelines.add("hidden", hidden, preload=True, when=lambda settings: settings.public_docs)
    pipelines.add("other", function)
    client = serve(pipelines)
    for response in (ask(client, model="hidden"), client.get("/v1/models/hidden")):
        assert error_of(response)["message"] == "The model 'hidden' does not exist. Available: other."
    assert hidden.events == []


async def test_included_resources_open_first_and_close_last_although_a_model_fails_to_close(
    pipelines: Pipelines,
) -> None:
    events: list[str] = []
    stuck, included = Stateful(), Pipelines()
    stuck.close = lambda: stuck.missing  # type: ignore[attr-defined, method-assign]  # so that it raises

    @included.resource
    async def journal(settings: Settings) -> AsyncGenerator[list[str], None]:
        events.append(f"opened for {settings.owned_by}")
        yield events
        events.append("closed at the end")

    included.factory("first")(lambda journal: Stateful(journal))
    included.add("stuck", stuck)
    included.factory("last")(lambda settings, journal: Stateful(journal))
    pipelines.include(included)

    application = running(pipelines, owned_by="me")
    service = await application.__aenter__()
    assert events == ["opened for me"]
    assert all([await answer(service, name) == f"I am {name}" for name in pipelines.models])
    with pytest.raises(AttributeError, match="missing"):
        await application.__aexit__(None, None, None)
    opened, *used, closed_first, closed_second, closed_last = events
    assert (opened, sorted(used)) == (
        "opened for me",
        ["asked", "asked", "started", "started"],
    )  # they load side by side
    assert [closed_first, closed_second, closed_last] == ["closed", "closed", "closed at the end"]


def test_applications_of_one_registry_have_settings_and_models_apart_and_agree_on_the_age_of_models(
    serve: Serve, pipelines: Pipelines
) -> None:
    made: list[str] = []

    @pipelines.factory("mine")
    def factory(settings: Settings) -> Callable[..., str]:
        made.append(settings.owned_by)
        return returning(settings.owned_by)

    pipelines.add("older", function, created=7)
    changed = int(Path(pipelines_module.__file__).stat().st_mtime)
    clients = {owner: serve(pipelines, owned_by=owner) for owner in ("first", "second")}
    for owner, client in [*clients.items(), *clients.items()]:
        assert message_of(ask(client, model="mine"))["content"] == owner
        assert [model["created"] for model in client.get("/v1/models").json()["data"]] == [changed, 7]
    assert made == ["first", "second"]
