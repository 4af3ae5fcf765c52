"""The models of a registry in applications: preloaded, sharing resources, closed at the end, each application apart."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation
from litestar.testing import TestClient

from app.app import create_app
from app.errors import ModelNotFoundError
from app.registry import Pipelines, PipelineService
from app.services import Body, CompletionService, Messages
from app.settings import Settings
from tests.conftest import Client, Serve, ask, error_of, message_of

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
UPSTREAM = Settings(openai_model="gpt", openai_base_url="http://127.0.0.1:1/v1")
PATIENCE = 30.0  # seconds after which a test gives up


def function(model: str, messages: Messages, body: Body) -> str:
    return f"I am {model}"


class Stateful:
    """A model that notes in a list what is done to it."""

    def __init__(self, events: list[str] | None = None, error: Exception | None = None) -> None:
        self.events = [] if events is None else events
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
        await asyncio.sleep(0.01)
        self.events.append("closed")


@pytest.fixture
def pipelines() -> Pipelines:
    return Pipelines()


@pytest.fixture
def stateful() -> Stateful:
    return Stateful()


@asynccontextmanager
async def running(pipelines: Pipelines, **settings: Any) -> AsyncIterator[PipelineService]:
    service = PipelineService(pipelines, Settings(**settings))
    async with service.running():
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


async def test_a_preloaded_model_starts_with_the_application_which_does_not_wait(
    pipelines: Pipelines, stateful: Stateful
) -> None:
    stateful.may_start.clear()
    pipelines.add("mine", stateful, preload=True)
    pipelines.add("other", function)

    async with running(pipelines) as service:
        await until(lambda: service.loading)
        assert await answer(service, "other") == "I am other"
        stateful.may_start.set()
        assert await answer(service) == "I am mine"
        assert not service.loading

    assert stateful.events == ["started", "asked", "closed"]


async def test_a_preloaded_model_that_fails_is_logged_and_tried_again_by_its_first_request(
    pipelines: Pipelines, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Stateful(error=OSError("No such file"))
    pipelines.add("mine", failing, preload=True)

    async with running(pipelines) as service:
        await until(lambda: bool(caplog.records))
        assert not service.loading
        failing.error = None
        assert await answer(service) == "I am mine"

    (record,) = caplog.records
    assert record.getMessage() == "The model 'mine' could not be loaded; its first request tries again"
    assert "No such file" in caplog.text


async def test_a_model_that_is_starting_is_cancelled_when_the_application_stops(
    pipelines: Pipelines, caplog: pytest.LogCaptureFixture
) -> None:
    preloaded, requested = Stateful(), Stateful()
    for name, model in {"preloaded": preloaded, "requested": requested}.items():
        model.may_start.clear()
        pipelines.add(name, model, preload=name == "preloaded")

    async with asyncio.timeout(PATIENCE), running(pipelines) as service:
        asking = asyncio.create_task(answer(service, "requested"))
        await until(lambda: bool(preloaded.events and requested.events))

    with pytest.raises(asyncio.CancelledError):
        await asking
    assert preloaded.events == requested.events == ["starting"]
    assert not caplog.records


def when_the_docs_are_public(settings: Settings) -> bool:
    return settings.public_docs


async def test_a_model_is_served_when_the_settings_allow_it(
    serve: Serve, pipelines: Pipelines, stateful: Stateful
) -> None:
    pipelines.add("mine", stateful, preload=True, when=when_the_docs_are_public)
    pipelines.add("other", function)

    client = serve(pipelines, public_docs=True)
    assert listed(client) == ["mine", "other"]
    assert message_of(ask(client, model="mine"))["content"] == "I am mine"


async def test_a_model_that_is_not_served_is_neither_listed_nor_found_nor_named_nor_preloaded(
    serve: Serve, pipelines: Pipelines, stateful: Stateful
) -> None:
    pipelines.add("mine", stateful, preload=True, when=when_the_docs_are_public)
    pipelines.add("other", function)
    client = serve(pipelines)

    response = ask(client, model="mine")

    assert response.status_code == 404
    assert error_of(response)["message"] == "The model 'mine' does not exist. Available: other."
    assert client.get("/v1/models/mine").status_code == 404
    assert listed(client) == ["other"]
    async with running(pipelines) as service:
        with pytest.raises(ModelNotFoundError, match=r"'mine' does not exist\. Available: other\."):
            await answer(service)
        assert not service.loading
    assert stateful.events == []


@pytest.mark.parametrize("failing", ["first", "second"])
async def test_one_model_that_fails_to_close_leaves_the_others_and_the_resources_closed(
    pipelines: Pipelines, failing: str
) -> None:
    events: list[str] = []

    @pipelines.resource
    async def pool() -> AsyncGenerator[str, None]:
        yield "a pool"
        events.append("the pool is closed")

    class Stubborn(Stateful):
        async def close(self) -> None:
            raise OSError("Stuck")

    for name in ("first", "second"):
        pipelines.add(name, Stubborn() if name == failing else Stateful(events))

    async with AsyncExitStack() as stack:
        stack.enter_context(pytest.raises(OSError, match="Stuck"))
        service = await stack.enter_async_context(running(pipelines))
        await answer(service, "first")
        await answer(service, "second")

    assert events == ["started", "asked", "closed", "the pool is closed"]


async def test_a_resource_is_opened_first_shared_by_factories_and_closed_after_the_models(pipelines: Pipelines) -> None:
    events: list[str] = []

    @pipelines.resource
    async def owner(settings: Settings) -> AsyncGenerator[list[str], None]:
        events.append(f"opened for {settings.owned_by}")
        yield events
        events.append("closed at the end")

    pipelines.factory("one")(lambda owner: Stateful(owner))
    pipelines.factory("two")(lambda settings, owner: Stateful(owner))

    async with running(pipelines, owned_by="me") as service:
        assert events == ["opened for me"]
        assert [await answer(service, name) for name in ("one", "two")] == ["I am one", "I am two"]

    assert events == ["opened for me", *["started", "asked"] * 2, *["closed"] * 2, "closed at the end"]


async def test_resources_are_closed_when_another_cannot_be_opened(pipelines: Pipelines, stateful: Stateful) -> None:
    events: list[str] = []

    @pipelines.resource
    async def first() -> AsyncGenerator[None, None]:
        events.append("opened")
        try:
            yield
        finally:
            events.append("closed")

    @pipelines.resource
    async def second() -> AsyncGenerator[None, None]:
        raise OSError("No database")
        yield

    pipelines.add("mine", stateful, preload=True)

    with pytest.raises(OSError, match="No database"):
        async with running(pipelines):
            pass

    assert events == ["opened", "closed"]
    assert stateful.events == []


async def test_a_resource_is_closed_when_a_model_that_uses_it_cannot_start(pipelines: Pipelines) -> None:
    events: list[str] = []

    @pipelines.resource
    async def pool() -> AsyncGenerator[list[str], None]:
        yield events
        events.append("the pool is closed")

    pipelines.factory("mine")(lambda pool: Stateful(pool, OSError("No key")))

    async with running(pipelines) as service:
        with pytest.raises(OSError, match="No key"):
            await answer(service)

    assert events == ["starting", "closed", "the pool is closed"]


async def test_a_factory_or_resource_that_takes_anything_else_is_an_error_that_names_what_there_is(
    pipelines: Pipelines,
) -> None:
    @pipelines.resource
    async def pool() -> AsyncGenerator[str, None]:
        yield ""

    pipelines.factory("mine")(lambda pool, cache: function)

    async with running(pipelines) as service:
        with pytest.raises(TypeError, match=r"takes cache, which is neither .*Available: settings, pool\."):
            await answer(service)

    @pipelines.resource
    async def other(cache: object) -> AsyncGenerator[str, None]:
        yield ""

    with pytest.raises(TypeError, match=r"takes cache, which is neither .*Available: settings"):
        async with running(pipelines):
            pass


@pytest.mark.parametrize("name", ["settings", "pool"])
def test_a_resource_of_a_name_that_is_taken_is_refused(pipelines: Pipelines, name: str) -> None:
    async def resource() -> AsyncGenerator[str, None]:
        yield ""

    resource.__name__ = "pool"
    pipelines.resource(resource)
    resource.__name__ = name

    with pytest.raises(ValueError, match=f"'{name}'"):
        pipelines.resource(resource)


async def test_a_registry_includes_the_models_and_resources_of_another(pipelines: Pipelines) -> None:
    other = Pipelines()

    @other.resource
    async def pool() -> AsyncGenerator[str, None]:
        yield "a pool"

    other.factory("made", preload=True, owned_by="me")(lambda pool: lambda model, messages, body: pool)
    pipelines.add("mine", function)
    pipelines.include(other)

    async with running(pipelines) as service:
        assert [(model.id, model.owned_by) for model in await service.list_models()][1] == ("made", "me")
        assert await answer(service, "made") == "a pool"
    assert pipelines.models["made"].preload


class Logged:
    """A completion service that delegates to the registry."""

    def __init__(self, pipelines: PipelineService) -> None:
        self._pipelines = pipelines

    async def complete(self, model: str, messages: Messages, body: Body) -> Any:
        return await self._pipelines.complete(model, messages, body)

    async def list_models(self) -> Any:
        return await self._pipelines.list_models()


async def provide_logged(pipelines: NamedDependency[SkipValidation[PipelineService]]) -> CompletionService:
    return Logged(pipelines)


WRAPPING = {"completion_service": Provide(provide_logged)}


def test_a_service_that_wraps_the_registry_lists_what_the_settings_ask_for() -> None:
    app = create_app(dependencies=WRAPPING, settings=UPSTREAM)
    with TestClient(app) as client:
        assert "chat" in listed(client)


def test_a_service_that_wraps_the_registry_preloads_and_closes_its_models(pipelines: Pipelines) -> None:
    events: list[str] = []
    go = threading.Event()

    @pipelines.factory("mine", preload=True)
    def factory() -> Stateful:
        go.wait(PATIENCE)
        return Stateful(events)

    with TestClient(create_app(dependencies=WRAPPING, settings=Settings(), pipelines=pipelines)) as client:
        assert client.get("/ready").status_code == 503
        assert events == []
        go.set()
        assert message_of(ask(client, model="mine"))["content"] == "I am mine"
        assert client.get("/ready").status_code == 200
        assert events == ["started", "asked"]

    assert events == ["started", "asked", "closed"]


def test_created_is_the_time_of_the_file_of_models_in_every_application_and_process(
    serve: Serve, pipelines: Pipelines
) -> None:
    changed = int((ROOT / "app" / "pipelines.py").stat().st_mtime)
    pipelines.add("mine", function)
    pipelines.add("older", function, created=7)
    code = """
from litestar.testing import TestClient
from app.app import create_app
with TestClient(create_app()) as client:
    print({model["created"] for model in client.get("/v1/models").json()["data"]})
"""

    for _ in range(2):
        models = serve(pipelines).get("/v1/models").json()["data"]
        assert {model["id"]: model["created"] for model in models} == {"mine": changed, "older": 7}
    done = subprocess.run(  # noqa: S603 - our own interpreter, with our own code
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{{{changed}}}"


def test_two_applications_of_one_registry_have_settings_and_models_apart(pipelines: Pipelines) -> None:
    made: list[str] = []

    @pipelines.factory("mine", when=lambda settings: settings.owned_by != "nobody")
    def factory(settings: Settings) -> Callable[..., str]:
        made.append(settings.owned_by)
        return lambda model, messages, body: settings.owned_by

    pipelines.add("other", function)
    first, without, second = (
        TestClient(create_app(settings=Settings(owned_by=owner), pipelines=pipelines))
        for owner in ("first", "nobody", "second")
    )

    with first:
        assert listed(first) == ["mine", "other"]
        with without, second:
            assert listed(without) == ["other"]
            assert listed(first) == listed(second) == ["mine", "other"]
            for client, owner in ((first, "first"), (second, "second"), (first, "first")):
                assert message_of(ask(client, model="mine"))["content"] == owner
        assert listed(first) == ["mine", "other"]
        assert message_of(ask(first, model="mine"))["content"] == "first"

    assert made == ["first", "second"]
