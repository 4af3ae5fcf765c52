"""Makers: a model that has to be made is made once, off the event loop, and closed at the end."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.makers import Maker, has_to_be_made
from app.services import Body, Messages
from app.settings import Settings

ROOT = Path(__file__).parents[3]
SETTINGS = Settings(owned_by="me")
MANY = 50
PATIENCE = 30.0  # seconds after which a test gives up


def answer(model: str, messages: Messages, body: Body) -> str:
    return "Hello!"


class Model:
    """What a factory makes: it notes what is done to it, and where."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.error: Exception | None = None

    async def __call__(self, model: str, messages: Messages, body: Body) -> str:
        return "Hello!"

    async def start(self) -> None:
        asyncio.get_running_loop()
        if self.error is not None:
            raise self.error
        self.events.append("started")

    async def close(self) -> None:
        asyncio.get_running_loop()
        self.events.append("closed")


@pytest.fixture
def model() -> Model:
    return Model()


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not happened():  # noqa: ASYNC110 - nothing here sets an event
            await asyncio.sleep(0.001)


def run(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HAYSTACK")}
    done = subprocess.run(  # noqa: S603 - our own interpreter, with our own code
        [sys.executable, "-c", code], cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.anyio
async def test_a_factory_of_nothing_makes_a_model() -> None:
    assert await Maker(lambda: answer).get(SETTINGS) is answer


@pytest.mark.anyio
async def test_a_factory_of_settings_makes_a_model_by_them() -> None:
    seen: list[Settings] = []

    def factory(settings: Settings) -> Callable[..., Any]:
        seen.append(settings)
        return answer

    assert await Maker(factory).get(SETTINGS) is answer
    assert seen == [SETTINGS]


@pytest.mark.anyio
async def test_an_async_factory_makes_a_model() -> None:
    async def factory(settings: Settings) -> Callable[..., Any]:
        asyncio.get_running_loop()
        return answer

    assert await Maker(factory).get(SETTINGS) is answer


@pytest.mark.anyio
async def test_a_sync_factory_runs_in_a_thread() -> None:
    threads: list[threading.Thread] = []

    def factory() -> Callable[..., Any]:
        threads.append(threading.current_thread())
        return answer

    await Maker(factory).get(SETTINGS)

    assert threads != [threading.current_thread()]


@pytest.mark.anyio
async def test_a_model_that_is_there_is_only_started(model: Model) -> None:
    maker = Maker(model)

    assert await maker.get(SETTINGS) is model
    assert await maker.get(SETTINGS) is model
    assert model.events == ["started"]


@pytest.mark.anyio
async def test_a_model_is_made_and_started_once_for_many_who_ask_at_once(model: Model) -> None:
    made: list[Model] = []
    go = threading.Event()

    def factory() -> Model:
        go.wait()
        made.append(model)
        return model

    maker = Maker(factory)
    asking = [asyncio.create_task(maker.get(SETTINGS)) for _ in range(MANY)]
    await asyncio.sleep(0)
    go.set()

    assert await asyncio.gather(*asking) == [model] * MANY
    assert (made, model.events) == ([model], ["started"])


@pytest.mark.anyio
async def test_a_model_is_made_even_if_the_first_who_asked_leaves(model: Model) -> None:
    go = threading.Event()

    def factory() -> Model:
        go.wait()
        return model

    maker = Maker(factory)
    first, second = asyncio.create_task(maker.get(SETTINGS)), asyncio.create_task(maker.get(SETTINGS))
    await asyncio.sleep(0)
    first.cancel()
    go.set()

    assert await second is model
    assert first.cancelled()
    assert model.events == ["started"]


@pytest.mark.anyio
async def test_all_who_ask_at_once_are_told_of_a_failure() -> None:
    def factory() -> Callable[..., Any]:
        raise OSError("No such file")

    maker = Maker(factory)
    asking = [maker.get(SETTINGS) for _ in range(3)]

    errors = await asyncio.gather(*asking, return_exceptions=True)

    assert [str(error) for error in errors] == ["No such file"] * 3


@pytest.mark.anyio
async def test_a_failure_is_tried_again() -> None:
    results: list[Any] = [answer, OSError("No such file")]

    def factory() -> Callable[..., Any]:
        if isinstance(result := results.pop(), Exception):
            raise result
        return answer

    maker = Maker(factory)

    with pytest.raises(OSError, match="No such file"):
        await maker.get(SETTINGS)
    assert not maker.at_work
    assert await maker.get(SETTINGS) is answer
    assert await maker.get(SETTINGS) is answer


@pytest.mark.anyio
async def test_a_sync_start_runs_in_a_thread_before_the_first_answer() -> None:
    threads: list[threading.Thread] = []

    class Loading:
        async def __call__(self, model: str, messages: Messages, body: Body) -> str:
            return ""

        def start(self) -> None:
            threads.append(threading.current_thread())

    await Maker(Loading()).get(SETTINGS)

    assert len(threads) == 1
    assert threads != [threading.current_thread()]


@pytest.mark.anyio
async def test_a_model_that_failed_to_start_is_started_again(model: Model) -> None:
    maker = Maker(model)
    model.error = OSError("No key")
    with pytest.raises(OSError, match="No key"):
        await maker.get(SETTINGS)

    model.error = None

    assert await maker.get(SETTINGS) is model
    assert model.events == ["started"]


@pytest.mark.anyio
async def test_a_model_that_was_made_and_failed_to_start_is_closed() -> None:
    made: list[Model] = []

    def factory() -> Model:
        made.append(Model())
        made[-1].error = OSError("No key") if len(made) == 1 else None
        return made[-1]

    maker = Maker(factory)
    with pytest.raises(OSError, match="No key"):
        await maker.get(SETTINGS)
    await maker.get(SETTINGS)
    await maker.close()

    assert [model.events for model in made] == [["closed"], ["started", "closed"]]


@pytest.mark.anyio
async def test_what_takes_other_arguments_than_a_model_is_no_model() -> None:
    with pytest.raises(TypeError, match=r"must take \(model, messages, body\)"):
        await Maker(lambda: lambda question: "").get(SETTINGS)


@pytest.mark.anyio
async def test_a_failure_of_which_nobody_is_told_is_no_mishap(caplog: pytest.LogCaptureFixture) -> None:
    go = threading.Event()

    def factory() -> Callable[..., Any]:
        go.wait()
        raise OSError("No such file")

    maker = Maker(factory)
    asking = asyncio.create_task(maker.get(SETTINGS))
    await asyncio.sleep(0)
    asking.cancel()
    go.set()
    await until(lambda: not maker.at_work)
    await maker.close()

    assert asking.cancelled()
    assert not caplog.records


@pytest.mark.anyio
async def test_it_is_at_work_while_a_model_is_made() -> None:
    go = threading.Event()

    def factory() -> Callable[..., Any]:
        go.wait()
        return answer

    maker = Maker(factory)
    assert not maker.at_work
    asking = asyncio.create_task(maker.get(SETTINGS))
    await asyncio.sleep(0)
    assert maker.at_work
    go.set()
    await asking

    assert not maker.at_work


@pytest.mark.anyio
async def test_a_model_is_closed_once(model: Model) -> None:
    maker = Maker(model)
    await maker.get(SETTINGS)

    await maker.close()
    await maker.close()

    assert model.events == ["started", "closed"]


@pytest.mark.anyio
async def test_a_model_that_nobody_asked_for_is_not_closed(model: Model) -> None:
    await Maker(model).close()

    assert model.events == []


@pytest.mark.anyio
async def test_a_model_that_could_not_be_made_is_not_closed() -> None:
    def factory() -> Callable[..., Any]:
        raise OSError("No such file")

    maker = Maker(factory)
    with pytest.raises(OSError, match="No such file"):
        await maker.get(SETTINGS)

    await maker.close()


@pytest.mark.anyio
async def test_a_model_that_is_starting_is_stopped_at_the_end() -> None:
    events: list[str] = []

    class Slow:
        async def __call__(self, model: str, messages: Messages, body: Body) -> str:
            return ""

        async def start(self) -> None:
            events.append("starting")
            try:
                await asyncio.Event().wait()
            finally:
                events.append("stopped")

    maker = Maker(Slow())
    asking = asyncio.create_task(maker.get(SETTINGS))
    await until(lambda: bool(events))

    await maker.close()

    assert events == ["starting", "stopped"]
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.anyio
async def test_a_model_is_made_anew_for_another_server() -> None:
    made: list[Model] = []

    def factory() -> Model:
        made.append(Model())
        return made[-1]

    maker = Maker(factory)
    for _ in range(2):
        await maker.get(SETTINGS)
        await maker.close()

    assert [model.events for model in made] == [["started", "closed"]] * 2


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: answer, True),
        (lambda settings: answer, True),
        (answer, False),
        (Model(), True),
        (lambda question: answer, False),
    ],
    ids=["of nothing", "of settings", "a model", "a model that starts", "of something else"],
)
def test_what_has_to_be_made_is_known_by_its_form(function: Callable[..., Any], expected: bool) -> None:
    assert has_to_be_made(function) is expected


@pytest.mark.needs("chat")
def test_a_factory_of_haystack_imports_it_when_it_is_called_and_not_before() -> None:
    code = """
import asyncio, sys
from app.app import create_app
from app.pipelines import pipelines
from app.settings import Settings

def imported():
    return "haystack" in sys.modules, "openai" in sys.modules

async def main():
    create_app()
    async with pipelines.serving(Settings(openai_model="upstream")):
        await pipelines.list_models()
        await pipelines.complete("echo", [{"role": "user", "content": "Hi"}], {})
        print(*imported(), end=" ")
        await pipelines.complete("chat", [{"role": "user", "content": "Hi"}], {})
        print(*imported())

asyncio.run(main())
"""

    assert run(code) == "False False True True"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, "false False"), ({"HAYSTACK_TELEMETRY_ENABLED": "true"}, "true True")],
    ids=["by default", "if the user wants it"],
)
def test_telemetry_is_off_unless_the_user_turns_it_on(
    tmp_path: Path, environment: dict[str, str], expected: str
) -> None:
    code = """
import os, app.app
from unittest.mock import patch
with patch("posthog.Posthog"):
    import haystack.telemetry._telemetry as telemetry
print(os.environ["HAYSTACK_TELEMETRY_ENABLED"], telemetry.telemetry is not None)
"""

    assert run(code, HOME=str(tmp_path), **environment) == expected
