"""Waiting for events in another process: bounded, never measured."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.conftest import PATIENCE

__all__ = ["eventually"]

T = TypeVar("T")


def eventually(look: Callable[[], T], until: Callable[[T], bool], patience: float = PATIENCE) -> T:
    """Return what `look` returns as soon as `until` accepts it."""
    deadline = time.monotonic() + patience
    while not until(seen := look()):
        assert time.monotonic() < deadline, f"It never happened; seen last: {seen!r}"
        time.sleep(0.02)
    return seen
