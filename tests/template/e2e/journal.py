"""What the tests' models tell of themselves, and the routes over which a test asks for it.

A test gives its run a key of its own and sends it as the prompt. The model of that run notes what
happens to it under the key, and may wait at its gate until the test opens it.
"""

import asyncio
import gc
import os
import threading
from collections import Counter, defaultdict
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, GeneratorType

from litestar import Controller, get, post
from litestar.params import FromPath
from msgspec import Struct

from app.services import Messages

__all__ = ["Census", "JournalController", "Run", "run_of"]

ROOT = str(Path(__file__).parents[3])


class Run:
    """One run of a model: what happened to it, and the gate it may wait at."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.items = 0
        self._gate = asyncio.Event()
        self._thread_gate = threading.Event()

    def note(self, event: str) -> None:
        """Note that something happened."""
        self.events.append(event)

    async def wait(self) -> None:
        """Wait at the gate, on the event loop."""
        await self._gate.wait()

    def block(self) -> None:
        """Wait at the gate, in a thread."""
        self._thread_gate.wait()

    @property
    def is_open(self) -> bool:
        """Whether the test has opened the gate."""
        return self._thread_gate.is_set()

    def open(self) -> None:
        """Open the gate for good."""
        self._gate.set()
        self._thread_gate.set()


class Census(Struct, frozen=True):
    """What lives in the server's process: by name, and how many of each; and its open files."""

    tasks: dict[str, int]
    generators: dict[str, int]
    threads: dict[str, int]
    files: int


RUNS: defaultdict[str, Run] = defaultdict(Run)


def run_of(messages: Messages) -> Run:
    """The run whose key is the prompt."""
    return RUNS[str(messages[-1].get("content"))]


class JournalController(Controller):
    """The routes that only the tests' server has."""

    path = "/journal"
    opt = {"exclude_from_auth": True}  # noqa: RUF012 - as Litestar declares it

    @get("/")
    async def census(self) -> Census:
        """Who lives at the moment."""
        tasks = [task.get_coro() for task in asyncio.all_tasks()]
        return Census(
            tasks=Counter(task.__qualname__ for task in tasks if isinstance(task, CoroutineType)),
            generators=Counter(_unfinished_generators()),
            threads=Counter(thread.name.rstrip("-0123456789") for thread in threading.enumerate()),
            files=_open_files(),
        )

    @get("/process")
    async def process(self) -> int:
        """The id of the process."""
        return os.getpid()

    @get("/memory")
    async def memory(self) -> int:
        """Bytes of memory that the process holds when all garbage is gone."""
        gc.collect()
        return _resident_pages() * os.sysconf("SC_PAGE_SIZE")

    @get("/{key:str}/events")
    async def events(self, key: FromPath[str]) -> list[str]:
        """What a run has noted."""
        return RUNS[key].events

    @get("/{key:str}/items")
    async def items(self, key: FromPath[str]) -> int:
        """How many items a run has made."""
        return RUNS[key].items

    @post("/{key:str}/gate")
    async def open_gate(self, key: FromPath[str]) -> None:
        """Let a run go on."""
        RUNS[key].open()


def _open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def _resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])


def _unfinished_generators() -> list[str]:
    found = []
    for thing in gc.get_objects():
        if type(thing) is GeneratorType:
            code, frame = thing.gi_code, thing.gi_frame
        elif type(thing) is AsyncGeneratorType:
            code, frame = thing.ag_code, thing.ag_frame
        else:
            continue
        if frame is not None and code.co_filename.startswith(ROOT) and "site-packages" not in code.co_filename:
            found.append(thing.__qualname__)
    return found
