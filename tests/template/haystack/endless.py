"""Chat generators that go on until they are stopped, and components that wait; all note what happens to them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from haystack import component
from haystack.dataclasses import ChatMessage, StreamingChunk

from tests.template.e2e.journal import Run

__all__ = ["AsyncEndless", "AsyncGate", "RunOf", "SyncEndless", "SyncGate", "noted"]

RunOf: TypeAlias = Callable[[list[ChatMessage]], Run]
PAUSE = 0.01


@component
class AsyncEndless:
    """A generator that runs on the event loop, until the gate is opened.

    Args:
        run_of: the run that a conversation belongs to.
        text: what it says again and again.
        pause: seconds between two chunks; 0 never awaits anything but its callback.
    """

    def __init__(self, run_of: RunOf, text: str = "more ", pause: float = PAUSE) -> None:
        self._run_of, self._chunk, self._pause = run_of, StreamingChunk(text, index=0), pause

    @component.output_types(replies=list[ChatMessage])
    def run(
        self,
        messages: list[ChatMessage],
        streaming_callback: Callable[[StreamingChunk], Awaitable[None]] | None = None,
    ) -> dict[str, list[ChatMessage]]:
        raise AssertionError("It has an async side")

    @component.output_types(replies=list[ChatMessage])
    async def run_async(
        self,
        messages: list[ChatMessage],
        streaming_callback: Callable[[StreamingChunk], Awaitable[None]] | None = None,
    ) -> dict[str, list[ChatMessage]]:
        with noted(run := self._run_of(messages)):
            while not run.is_open:
                run.items += 1
                if streaming_callback is not None:
                    await streaming_callback(self._chunk)
                if self._pause or streaming_callback is None:
                    await asyncio.sleep(self._pause or PAUSE)
        return {"replies": [ChatMessage.from_assistant("The end.")]}


@component
class SyncEndless:
    """The same in a thread."""

    def __init__(self, run_of: RunOf, text: str = "more ", pause: float = PAUSE) -> None:
        self._run_of, self._chunk, self._pause = run_of, StreamingChunk(text, index=0), pause

    @component.output_types(replies=list[ChatMessage])
    def run(
        self, messages: list[ChatMessage], streaming_callback: Callable[[StreamingChunk], None] | None = None
    ) -> dict[str, list[ChatMessage]]:
        with noted(run := self._run_of(messages)):
            while not run.is_open:
                run.items += 1
                if streaming_callback is not None:
                    streaming_callback(self._chunk)
                time.sleep(self._pause)
        return {"replies": [ChatMessage.from_assistant("The end.")]}


@component
class AsyncGate:
    """Waits before it passes the conversation on."""

    def __init__(self, run_of: RunOf) -> None:
        self._run_of = run_of

    @component.output_types(messages=list[ChatMessage])
    def run(self, messages: list[ChatMessage]) -> dict[str, list[ChatMessage]]:
        raise AssertionError("It has an async side")

    @component.output_types(messages=list[ChatMessage])
    async def run_async(self, messages: list[ChatMessage]) -> dict[str, list[ChatMessage]]:
        with noted(run := self._run_of(messages)):
            await run.wait()
        return {"messages": messages}


@component
class SyncGate:
    """The same in a thread, where nothing can stop it."""

    def __init__(self, run_of: RunOf) -> None:
        self._run_of = run_of

    @component.output_types(messages=list[ChatMessage])
    def run(self, messages: list[ChatMessage]) -> dict[str, list[ChatMessage]]:
        with noted(run := self._run_of(messages)):
            run.block()
        return {"messages": messages}


@contextmanager
def noted(run: Run) -> Iterator[None]:
    """Note how something starts and ends."""
    run.note("started")
    try:
        yield
        run.note("finished")
    except BaseException as error:
        run.note(type(error).__name__)
        raise
    finally:
        run.note("closed")
