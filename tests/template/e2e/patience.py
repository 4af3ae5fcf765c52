"""Waiting for what happens in another process: bounded, and never measured."""

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE", "eventually"]

PATIENCE = 30.0  # seconds until a test gives up; on a busy machine, things may take as long as they like
PAUSE = 0.02

T = TypeVar("T")


def eventually(look: Callable[[], T], until: Callable[[T], bool], patience: float = PATIENCE) -> T:
    """What `look` returns as soon as it is as wished.

    Raises:
        AssertionError: it never was; the message has what was seen last.
    """
    deadline = time.monotonic() + patience
    while not until(seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"It never happened; seen last: {seen!r}")
        time.sleep(PAUSE)
    return seen
