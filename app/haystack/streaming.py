"""Streaming of what the components of a pipeline generate, while it runs."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage, StreamingChunk
from msgspec import Struct

from app.engine.results import Item, Sink
from app.haystack.events import AgentStream
from app.haystack.messages import TOOL_PARAMETERS

AnyComponent: TypeAlias = Any  # Haystack's own type does not declare what its decorator adds to a class


def can_stream(component: AnyComponent) -> bool:
    """Return whether a component can stream what it generates."""
    return "streaming_callback" in component.__haystack_input__


def generators_within(component: AnyComponent) -> list[AnyComponent]:
    """Return the generators of an agent, or of a generator with fallbacks, and those within them."""
    direct = (getattr(component, "chat_generator", None), *getattr(component, "chat_generators", ()))
    found = [generator for generator in direct if generator is not None]
    return [part for generator in found for part in (generator, *generators_within(generator))]


class StreamingComponent(Struct, frozen=True):
    """A component that can stream; its `open_inputs` are those that no other component is connected to."""

    name: str
    component: AnyComponent
    open_inputs: frozenset[str]

    @property
    def is_async(self) -> bool:
        """Whether it streams on the event loop only: a generator without `run_async` runs in a thread."""
        return all(hasattr(part, "run_async") for part in (self.component, *generators_within(self.component)))

    def inputs(self, given: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
        """Return what is given to the component, and the parameters of the request that it takes beside that."""
        taken = {name: value for name, value in parameters.items() if value and name in self.open_inputs}
        if isinstance(self.component, Agent):
            taken.pop("tools", None)  # it has its own, and those of the request are for the client to call
        kwargs = {
            name: value
            for name, value in taken.pop("generation_kwargs", {}).items()
            if "tools" in taken or name not in TOOL_PARAMETERS
        } | (given.get("generation_kwargs") or {})
        return taken | given | ({"generation_kwargs": kwargs} if kwargs else {})


class StreamingRun:
    """One run of a pipeline, whose components stream to the client.

    Args:
        sink: Takes the items.
        stream: Whether the client wants a stream, and not only the reply.
        streams_all: Whether all the components are streamed; otherwise only the one that is the first to generate.
    """

    def __init__(self, sink: Sink, *, stream: bool, streams_all: bool) -> None:
        self._sink = sink
        self._stream = stream
        self._streams_all = streams_all
        self._loop_thread = threading.get_ident()
        self.streamed: str | None = None  # the component whose chunks were sent last
        self._sent: list[StreamingChunk] = []

    def callback(self, component: StreamingComponent) -> Callable[[StreamingChunk], Any] | None:
        """Return the function that the component calls with each chunk, if it needs one.

        Haystack deep-copies what it is given: only a plain function stays the same.
        """
        agent = AgentStream() if isinstance(component.component, Agent) else None

        async def send(chunk: StreamingChunk) -> None:
            for item in self._items(component, agent, chunk):
                await self._sink.send(item)

        def send_from_thread(chunk: StreamingChunk) -> None:
            for item in self._items(component, agent, chunk):
                self._put(item)
            if self._sink.closed:
                raise asyncio.CancelledError  # nothing else stops sync code

        if component.is_async:
            return send if self._stream else None
        return send_from_thread

    async def finish(self, reply: ChatMessage) -> None:
        """Send what has not been streamed of the reply."""
        if not self._has_sent("content", "reasoning", "tool_calls"):
            await self._sink.send(reply)
            return
        text, streamed = reply.text or "", "".join(chunk.content for chunk in self._sent)
        rest = ChatMessage.from_assistant(
            text.removeprefix(streamed) if text.startswith(streamed) else "",
            meta={name: value for name, value in reply.meta.items() if not self._has_sent(name)},
            tool_calls=[] if self._has_sent("tool_calls") else reply.tool_calls,
        )
        await self._sink.send(rest)

    def _has_sent(self, *parts: str) -> bool:
        return any(getattr(chunk, part, None) or chunk.meta.get(part) for chunk in self._sent for part in parts)

    def _items(self, component: StreamingComponent, agent: AgentStream | None, chunk: StreamingChunk) -> Iterable[Item]:
        """Return the items that are sent for a chunk, and note them."""
        if not self._stream or not (self._streams_all or self.streamed in (None, component.name)):
            return ()
        self.streamed = component.name
        items = (chunk,) if agent is None else tuple(agent.items(chunk))
        self._sent.extend(item for item in items if isinstance(item, StreamingChunk))
        return items

    def _put(self, item: Item) -> None:
        if threading.get_ident() == self._loop_thread:  # an agent with a sync generator streams tool results there
            self._sink.put_anyway(item)
        else:
            self._sink.put_from_thread(item)
