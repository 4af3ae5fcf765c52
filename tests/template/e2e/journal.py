"""What the models of the tests note about their runs, and the routes that tell a test.

A test makes up a key for a run and sends it as the prompt. The model notes events under the key, and may wait at the
gate of the run until the test opens it.
"""

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
from msgspec import Struct

from app.services import Messages
from tests.conftest import ROOT

__all__ = ["Census", "JournalController", "Run", "noted", "run_of"]


class Run:
    """The events and items of one run of a model, and its gate."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.items = 0
        self._gate = asyncio.Event()
        self._thread_gate = threading.Event()

    def note(self, event: str) -> None:
        self.events.append(event)

    async def wait(self) -> None:
        """Wait at the gate, on the event loop."""
        await self._gate.wait()

    def block(self) -> None:
        """Wait at the gate, in a thread."""
        self._thread_gate.wait()

    @property
    def is_open(self) -> bool:
        return self._thread_gate.is_set()

    def open(self) -> None:
        self._gate.set()
        self._thread_gate.set()


class Census(Struct, frozen=True):
    """How many tasks, generators and threads live in the server's process, by name, and how many files are open."""

    tasks: dict[str, int]
    generators: dict[str, int]
    threads: dict[str, int]
    files: int


RUNS: defaultdict[str, Run] = defaultdict(Run)


def run_of(messages: Messages) -> Run:
    """Return the run whose key is the prompt."""
    return RUNS[str(messages[-1].get("content"))]


@contextmanager
def noted(messages: Messages) -> Iterator[Run]:
    """Note the start of a run, whether it comes to its end, and that it is closed."""
    run = run_of(messages)
    run.note("started")
    try:
        yield run
        run.note("finished")
    finally:
        run.note("closed")


class JournalController(Controller):
    """The routes that only the tests' server has."""

    path = "/journal"
    opt = {"exclude_from_auth": True}  # noqa: RUF012 - as Litestar declares it

    @get("/")
    async def census(self) -> Census:
        tasks = [task.get_coro() for task in asyncio.all_tasks()]
        return Census(
            tasks=Counter(task.__qualname__ for task in tasks if isinstance(task, CoroutineType)),
            generators=Counter(_unfinished_generators()),
            threads=Counter(thread.name.rstrip("-0123456789") for thread in threading.enumerate()),
            files=_open_files(),
        )

    @get("/process")
    async def process(self) -> int:
        return os.getpid()

    @get("/{key:str}/events")
    async def events(self, key: FromPath[str]) -> list[str]:
        return RUNS[key].events

    @get("/{key:str}/items")
    async def items(self, key: FromPath[str]) -> int:
        return RUNS[key].items

    @post("/{key:str}/gate")
    async def open_gate(self, key: FromPath[str]) -> None:
        RUNS[key].open()


def _open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def _unfinished_generators() -> list[str]:
    """Return the names of the generators whose code stands in this project."""
    found: list[tuple[str, str]] = []
    for thing in gc.get_objects():
        if type(thing) is GeneratorType and thing.gi_frame is not None:
            found.append((thing.__qualname__, thing.gi_code.co_filename))
        elif type(thing) is AsyncGeneratorType and thing.ag_frame is not None:
            found.append((thing.__qualname__, thing.ag_code.co_filename))
    return [name for name, file in found if file.startswith(str(ROOT)) and "site-packages" not in file]
