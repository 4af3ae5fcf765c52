"""What the models of the tests note about a run, whose key is the prompt, and the routes that tell a test."""

import asyncio
import gc
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, GeneratorType

from litestar import Controller, get, post
from litestar.params import FromPath

from app.services import Messages
from schemas.chat import Json
from tests.conftest import ROOT


class Run:
    """The events, errors and items of one run of a model, and the gate at which the model may wait."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.errors: list[str] = []
        self.items = 0
        self.gate = threading.Event()

    async def wait(self) -> None:
        """Wait at the gate, on the event loop."""
        while not self.gate.is_set():  # noqa: ASYNC110 - an event of asyncio cannot be set from a thread
            await asyncio.sleep(0.01)


RUNS: defaultdict[str, Run] = defaultdict(Run)


def run_of(messages: Messages) -> Run:
    """Return the run whose key is the prompt."""
    return RUNS[str(messages[-1].get("content"))]


@contextmanager
def noted(run: Run) -> Iterator[Run]:
    """Note the start of a run, whether it comes to its end or fails, and that it is closed."""
    run.events.append("started")
    try:
        yield run
        run.events.append("finished")
    except BaseException as error:
        run.errors.append(type(error).__name__)
        raise
    finally:
        run.events.append("closed")


class JournalController(Controller):
    """The routes that only the tests' server has."""

    path = "/journal"
    opt = {"exclude_from_auth": True}  # noqa: RUF012 - as Litestar declares it

    @get("/", sync_to_thread=False)
    def census(self) -> Json:
        """Return how many tasks, generators, threads and open files live in the process, and its id."""
        tasks = [task.get_coro() for task in asyncio.all_tasks()]
        return {
            "tasks": Counter(task.__qualname__ for task in tasks if isinstance(task, CoroutineType)),
            "generators": Counter(_unfinished_generators()),
            "threads": Counter(thread.name.rstrip("-0123456789") for thread in threading.enumerate()),
            "files": len(list(Path("/dev/fd").iterdir())),
            "process": os.getpid(),
        }

    @get("/{key:str}")
    async def run(self, key: FromPath[str]) -> Json:
        return {"events": RUNS[key].events, "items": RUNS[key].items}

    @post("/{key:str}/gate")
    async def open_gate(self, key: FromPath[str]) -> None:
        RUNS[key].gate.set()


def _unfinished_generators() -> Iterator[str]:
    """Yield the names of the generators whose code stands in this project."""
    for thing in [each for each in gc.get_objects() if type(each) in (GeneratorType, AsyncGeneratorType)]:
        frame = getattr(thing, "gi_frame", None) or getattr(thing, "ag_frame", None)
        if frame and frame.f_code.co_filename.startswith(str(ROOT)) and "site-packages" not in frame.f_code.co_filename:
            yield thing.__qualname__
