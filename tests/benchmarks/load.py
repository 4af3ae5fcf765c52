"""Load on a server, from a process of its own, so that it takes no time from what is measured."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from tests.benchmarks.servers import ROOT

__all__ = ["Hold", "Load", "LoadError", "Repeat", "Report", "Together", "holding", "run"]

PATIENCE = 300.0  # seconds until a load must have ended


class LoadError(Exception):
    """A server did not answer as it should, so that what was measured means nothing."""


class Load(Struct, frozen=True, tag=True, kw_only=True):
    """What to ask, over how many connections."""

    port: int
    model: str
    connections: int


class Repeat(Load, frozen=True):
    """Ask again and again, each connection as soon as it has its answer."""

    seconds: float


class Together(Load, frozen=True):
    """Ask once on each connection, all at the same time; `watch` lists the models all the while."""

    watch: bool = False


class Hold(Load, frozen=True):
    """Ask once on each connection, and read no further than the first text."""


class Report(Struct, frozen=True, kw_only=True):
    """What the load has seen; times in seconds."""

    answers: int
    seconds: float  # until the last answer
    load_cpu: float  # the share of a core that the load itself took
    first_p50: float = 0
    first_p99: float = 0
    models_p99: float = 0


def run(load: Repeat | Together) -> Report:
    """Put load on a server until it is done.

    Raises:
        LoadError: an answer was not right.
    """
    try:
        done = subprocess.run(_command(load), cwd=ROOT, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise LoadError(f"did not answer in {PATIENCE:g} s") from None
    if done.returncode:
        raise LoadError(_reason(done.stderr))
    return msgspec.json.decode(done.stdout, type=Report)


@contextmanager
def holding(load: Hold) -> Iterator[None]:
    """Keep streams open for as long as the context lasts.

    Raises:
        LoadError: not all of them began.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(_command(load), cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise LoadError(_reason(process.communicate()[1]))
        yield
        process.communicate()  # closes its input, at which it ends


def _command(load: Load) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.loader", msgspec.json.encode(load).decode()]


def _reason(errors: bytes) -> str:
    return errors.decode().strip().rpartition("\n")[2] or "the load ended without a word"
