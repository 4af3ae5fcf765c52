"""Calls of the user's code, which are hooks, lists of models and services: their time, their threads, their errors."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from inspect import iscoroutinefunction
from types import SimpleNamespace
from typing import Any, TypeAlias

import httpx
import pytest
from litestar import Litestar
from openai import InternalServerError

from app.app import create_app
from app.registry import Pipelines
from app.services import Hooks
from app.settings import Settings
from tests.conftest import ASKS, PATIENCE, error_of, given, live
from tests.template.asgi import AsgiClient, running, until
from tests.template.conftest import UNEXPECTED
from tests.test_logs import Captured, lines_of

pytestmark = pytest.mark.anyio

Act: TypeAlias = Callable[[], Any]

HOOKS = ("pre_hook", "post_hook", "chunk_mapper")
BEFORE = ("pre_hook", "list_models", "post_hook")  # before the first item
SLOW = [(place, act) for place in (*BEFORE, "function", "iterator") for act in ("block", "wait")]
SLOW += [("chunk_mapper", "wait")]
SYNC = ("pre_hook", "list_models", "post_hook", "function", "iterator")  # what runs in threads, if it is sync
PLACES = (*SYNC, "chunk_mapper")
FATAL = [SystemExit, KeyboardInterrupt, StopIteration, StopAsyncIteration, asyncio.CancelledError, TimeoutError]
FATAL += [GeneratorExit]
LATE = "A model's code failed after its completion had ended"

each_mode = pytest.mark.parametrize("stream", [False, True])


class Slow:
    """Acts that do not end by themselves: a blocking one before the test opens it."""

    def __init__(self) -> None:
        self.count = 0
        self.entered, self.opened, self.stopped = threading.Event(), threading.Event(), threading.Event()

    def block(self) -> None:
        self.count += 1
        self.entered.set()
        assert self.opened.wait(2 * PATIENCE)

    async def wait(self) -> None:
        self.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()


@pytest.fixture
def slow() -> Iterator[Slow]:
    acts = Slow()
    yield acts
    acts.opened.set()


def idle() -> None:
    pass


def then(act: Act, result: object) -> Callable[..., Any]:
    """Return a function that acts and returns a result; it is async if the act is."""

    def function(*_: object) -> object:
        act()
        return result

    async def coroutine(*_: object) -> object:
        await act()
        return result

    return coroutine if iscoroutinefunction(act) else function


def yields(act: Act) -> Callable[..., Any]:
    """Return the same as a generator, whose item is for the chunk mapper."""

    def generator(*_: object) -> Iterator[object]:
        act()
        yield SimpleNamespace(content="Hello!")

    async def async_generator(*_: object) -> AsyncIterator[object]:
        await act()
        yield SimpleNamespace(content="Hello!")

    return async_generator if iscoroutinefunction(act) else generator


def app_of(place: str, act: Act, **settings: Any) -> Litestar:
    """Return an application one of whose calls of the user's code acts first."""
    hooks: dict[str, Any] = {place: then(act, "Hello!" if place == "chunk_mapper" else None)} if place in HOOKS else {}
    service = SimpleNamespace(
        list_models=then(act if place == "list_models" else idle, ["test"]),
        complete=then(act, "Hello!") if place == "function" else yields(act if place == "iterator" else idle),
    )
    provided = {"completion_service": given(service), "hooks": given(Hooks(**hooks))}
    return create_app(settings=Settings(**settings), dependencies=provided, pipelines=Pipelines())


@asynccontextmanager
async def serving(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """Start an application on this event loop, and return a client of it."""
    transport: Any = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]  # another ASGI type
    async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def ask(client: httpx.AsyncClient, **fields: object) -> httpx.Response:
    async with asyncio.timeout(PATIENCE):
        return await client.post("/v1/chat/completions", json=ASKS | fields)


@each_mode
@pytest.mark.parametrize(("place", "act"), SLOW)
async def test_a_completion_over_its_timeout_fails_whatever_takes_long(
    slow: Slow, place: str, act: str, stream: bool
) -> None:
    async with serving(app_of(place, getattr(slow, act), completion_timeout=0.3)) as client:
        response = await ask(client, stream=stream)

    assert (response.status_code, error_of(response)["code"]) == (504, "timeout")
    assert slow.stopped.is_set() == (act == "wait" and slow.entered.is_set())


@each_mode
@pytest.mark.parametrize(("place", "act"), SLOW)
async def test_a_client_that_leaves_ends_its_completion_whatever_takes_long(
    slow: Slow, place: str, act: str, stream: bool
) -> None:
    app = app_of(place, getattr(slow, act))
    async with app.lifespan():
        async with AsgiClient(app, stream=stream):
            await until(slow.entered.is_set)

        assert slow.stopped.is_set() == (act == "wait")
        assert not slow.opened.is_set()


@each_mode
@pytest.mark.parametrize("place", SYNC)
async def test_more_sync_calls_than_threads_wait_for_their_turn(place: str, stream: bool) -> None:
    running: list[int] = [0]
    most = 0

    def act() -> None:
        nonlocal most
        running.append(1)
        most = max(most, sum(running))
        time.sleep(0.001)
        running.append(-1)

    async with serving(app_of(place, act, sync_workers=2)) as client:
        responses = await asyncio.gather(*(ask(client, stream=stream) for _ in range(120)))

    assert {(response.status_code, "Hello!" in response.text) for response in responses} == {(200, True)}
    assert most <= 2


@each_mode
@pytest.mark.parametrize("place", SYNC)
async def test_a_call_that_waits_for_a_thread_is_given_up_when_its_client_leaves(
    slow: Slow, place: str, stream: bool
) -> None:
    app = app_of(place, slow.block, sync_workers=1)
    async with serving(app) as client:
        first = asyncio.create_task(ask(client, stream=stream))
        await until(slow.entered.is_set)
        async with AsgiClient(app, stream=stream) as leaving:
            for _ in range(20):
                await asyncio.sleep(0)
        assert (leaving.received, slow.opened.is_set()) == (b"", False)

        slow.opened.set()
        assert [(await each).status_code for each in (first, ask(client, stream=stream))] == [200, 200]
    assert slow.count == (1 if place == "list_models" else 2)  # the list is trusted for a moment


@each_mode
@pytest.mark.parametrize("error", FATAL)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("place", PLACES)
async def test_an_exception_that_ends_other_programs_ends_one_completion(
    place: str, is_async: bool, error: type[BaseException], stream: bool
) -> None:
    errors = [error]

    def act() -> None:
        if errors:
            raise errors.pop()

    async def act_async() -> None:
        act()

    async with serving(app_of(place, act_async if is_async else act)) as client:
        failed, answered = await ask(client, stream=stream), await ask(client, stream=stream)

    assert (failed.status_code, error_of(failed)) == (500, UNEXPECTED)
    assert failed.headers["x-request-id"].startswith("req_")
    assert (answered.status_code, "Hello!" in answered.text) == (200, True)


@each_mode
@pytest.mark.parametrize("mapper", [None, then(partial(asyncio.sleep, 0), "Hello!")], ids=["no mapper", "mapper"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_clean_up_that_fails_after_its_client_has_left_is_logged(
    caplog: pytest.LogCaptureFixture, capsys: Captured, is_async: bool, mapper: Any, stream: bool
) -> None:
    entered = threading.Event()

    def generator(*_: object) -> Iterator[str]:
        try:
            while True:
                entered.set()
                yield "Hello!"
        finally:
            raise OSError("no room")

    async def async_generator(*_: object) -> AsyncIterator[str]:
        try:
            yield "Hello!"
            entered.set()
            await asyncio.Event().wait()
        finally:
            raise OSError("no room")

    service = SimpleNamespace(list_models=lambda: ["test"], complete=async_generator if is_async else generator)
    provided = {"completion_service": given(service), "hooks": given(Hooks(chunk_mapper=mapper))}
    app = create_app(settings=Settings(log_format="json"), dependencies=provided, pipelines=Pipelines())
    async with app.lifespan():
        async with AsgiClient(app, stream=stream, headers={"x-request-id": "mine"}):
            await until(entered.is_set)
        await until(lambda: "no room" in caplog.text)

    (line,) = lines_of(capsys, "app.errors")
    assert (line["level"], line["request_id"]) == ("WARNING", "mine")
    assert (line["message"], "OSError: no room" in line["traceback"]) == (LATE, True)


@each_mode
async def test_a_model_that_swallows_its_cancellation_is_named_once_and_keeps_its_place_until_it_ends(
    caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    entered, gate = threading.Event(), asyncio.Event()

    async def swallow() -> None:
        entered.set()
        while not gate.is_set():
            with suppress(asyncio.CancelledError):
                await gate.wait()

    app = app_of("function", swallow, max_concurrent_completions=1)
    async with serving(app) as client:
        async with AsgiClient(app, stream=stream):
            await until(entered.is_set)
        named = [record.args for record in caplog.records if "has not stopped" in record.msg]
        refused = await ask(client)
        gate.set()  # before anything can fail, as the loop would wait for the model
        assert (named, refused.status_code) == ([("test", 0.5)], 503)
        for _ in range(100):
            await asyncio.sleep(0)
        assert (await ask(client)).status_code == 200


@each_mode
async def test_an_async_generator_that_swallows_its_cancellation_is_closed(
    caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    entered, closed = threading.Event(), threading.Event()

    async def generator(*_: object) -> AsyncIterator[str]:
        try:
            while True:
                with suppress(asyncio.CancelledError):
                    yield "Hello!"
                    entered.set()
                    await asyncio.sleep(PATIENCE)
        finally:
            closed.set()

    async with running(generator) as app, AsgiClient(app, stream=stream):
        await until(entered.is_set)

    assert closed.is_set()
    assert "has not stopped" not in caplog.text


class Starting:
    """A model that has to be started first."""

    def __init__(self, start: Callable[[], Any]) -> None:
        self.start = start

    def __call__(self, model: str, messages: object, body: object) -> str:
        return "never"


@pytest.mark.parametrize("kind", ["sync", "async", "task"])
@pytest.mark.parametrize("place", ["factory", "start", "preloaded factory", "preloaded start", "list_models"])
@pytest.mark.parametrize("error", FATAL)
def test_an_exception_before_a_model_answers_ends_one_request(
    caplog: pytest.LogCaptureFixture, error: type[BaseException], place: str, kind: str
) -> None:
    def fail() -> Any:
        raise error

    async def fail_on_the_loop() -> Any:
        raise error

    async def fail_in_a_task() -> Any:
        await asyncio.create_task(fail_on_the_loop())

    failing = {"sync": fail, "async": fail_on_the_loop, "task": fail_in_a_task}[kind]
    pipelines, dependencies = Pipelines(), {}
    pipelines.add("fine", lambda model, messages, body: "Hello!")
    if place.endswith("factory"):
        pipelines.factory("failing", preload="preloaded" in place)(failing)
    elif place.endswith("start"):
        pipelines.add("failing", Starting(failing), preload="preloaded" in place)
    else:
        dependencies["model_service"] = given(SimpleNamespace(list_models=failing))
    with live(pipelines, dependencies=dependencies) as client:
        requests: list[Callable[[], object]] = [
            lambda: client.chat.completions.create(model="failing", messages=[{"role": "user", "content": "Hello!"}]),
            lambda: client.responses.create(model="failing", input="Hello!"),
        ]
        if place == "list_models":
            requests += [client.models.list, lambda: client.models.retrieve("test")]
        for request in requests:
            caplog.clear()
            with pytest.raises(InternalServerError) as caught:
                request()
            assert caught.value.body == UNEXPECTED
            assert caught.value.request_id
            assert "A request failed" in caplog.text
        if place != "list_models":
            answer = client.chat.completions.create(model="fine", messages=[{"role": "user", "content": "Hello!"}])
            assert answer.choices[0].message.content == "Hello!"
