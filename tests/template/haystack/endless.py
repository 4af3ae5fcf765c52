"""Chat generators that go on until they are stopped, and components that wait; each notes what happens to it."""

import asyncio
import time
from typing import Any

from haystack import component
from haystack.dataclasses import ChatMessage, StreamingChunk

from tests.template.e2e.journal import Run, noted
from tests.template.haystack.generators import Messages

MORE = StreamingChunk("more ", index=0)
END = {"replies": [ChatMessage.from_assistant("The end.")]}


@component
class SyncEndless:
    """A generator that runs in a thread until the run is opened, with a pause in seconds between two chunks."""

    def __init__(self, run: Run, pause: float = 0.001) -> None:
        self._run, self._pause = run, pause

    @component.output_types(replies=Messages)
    def run(
        self, messages: Messages, streaming_callback: Any = None, generation_kwargs: Any = None, tools: Any = None
    ) -> dict[str, Messages]:
        with noted(self._run):
            while not self._run.gate.is_set():
                self._run.items += 1
                if streaming_callback is not None:
                    streaming_callback(MORE)
                time.sleep(self._pause)
        return END


@component
class AsyncEndless(SyncEndless):
    """The same on the event loop."""

    @component.output_types(replies=Messages)
    async def run_async(
        self, messages: Messages, streaming_callback: Any = None, generation_kwargs: Any = None, tools: Any = None
    ) -> dict[str, Messages]:
        with noted(self._run):
            while not self._run.gate.is_set():
                self._run.items += 1
                if streaming_callback is not None:
                    await streaming_callback(MORE)
                if self._pause or streaming_callback is None:
                    await asyncio.sleep(self._pause)
        return END


@component
class SyncGate:
    """A component before the generator that waits until the run is opened, in a thread that nothing can stop."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @component.output_types(messages=Messages)
    def run(self, messages: Messages) -> dict[str, Messages]:
        with noted(self._run):
            self._run.gate.wait()
        return {"messages": messages}


@component
class AsyncGate(SyncGate):
    """The same on the event loop."""

    @component.output_types(messages=Messages)
    async def run_async(self, messages: Messages) -> dict[str, Messages]:
        with noted(self._run):
            await self._run.wait()
        return {"messages": messages}
