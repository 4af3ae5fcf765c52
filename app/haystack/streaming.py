"""Streaming of what the components of a pipeline generate, while it runs."""

import asyncio
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Any, TypeAlias

from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage, StreamingChunk
from msgspec import Struct

from app.engine.results import Item, Sink
from app.haystack.events import RunEvent, item_of
from app.haystack.graph import AnyComponent, generators_within
from app.haystack.parameters import TOOL_PARAMETERS, Parameters
from app.haystack.replies import BETWEEN_STEPS, reply_of, total_usage
from app.services import Body
from schemas.chat import Json

OnEvent: TypeAlias = Callable[[RunEvent], Any]


class Generator(Struct, frozen=True):
    """A component that makes the reply, or is streamed: its chunks are sent to the client."""

    name: str
    source: AnyComponent  # the generator or agent that streams: itself, or one within it
    output: str  # its reply, if it is streamed, or else ""
    takes: Container[str]  # inputs that a request may fill
    parameters: Parameters

    def inputs(self, given: dict[str, Any], body: Body) -> dict[str, Any]:
        """Return what is given to the component, and the parameters of the request that it takes beside that."""
        if "tools" not in self.takes:
            body = {name: value for name, value in body.items() if name not in ("tools", *TOOL_PARAMETERS)}
        taken = {name: value for name, value in self.parameters(body).items() if value and name in self.takes}
        kwargs = taken.get("generation_kwargs", {}) | (given.get("generation_kwargs") or {})
        return taken | given | ({"generation_kwargs": kwargs} if kwargs else {})


class Sent(Struct):
    """What has been sent of a component's chunks, and what separates the next text from it."""

    separator: str
    texts: list[str] = []
    parts: set[str] = set()


class StreamingRun:
    """One run of a pipeline, whose generators are streamed one after another.

    If they are streamed `in_order`, each waits for those before it; otherwise the first to generate is streamed.
    """

    def __init__(
        self, sink: Sink, generators: Iterable[Generator], on_event: OnEvent, *, stream: bool, in_order: bool
    ) -> None:
        self._sink, self._on_event, self._stream, self._in_order = sink, on_event, stream, in_order
        self._streamed = {generator.name: generator for generator in generators if generator.output}
        self._loop_thread = threading.get_ident()
        self._ended: dict[str, Any] = {}  # the outputs of components
        self._sent: dict[str, Sent] = {}
        self._sent_whole = set[str]()  # components that generated while others were streamed, and follow as a whole
        self._metas: dict[str, Json] = {}  # of the components that have been sent to their end
        self._separator = ""  # of the next one

    def callback(self, generator: Generator) -> Callable[[StreamingChunk], Any] | None:
        """Return the function that a component calls with each chunk, if it needs one.

        Haystack deep-copies what it is given: only a plain function stays the same.
        """

        async def send(chunk: StreamingChunk) -> None:
            for item in self._items(generator, chunk):
                await self._sink.send(item)

        def send_from_thread(chunk: StreamingChunk) -> None:
            for item in self._items(generator, chunk):
                self.put(item)
            if self._sink.closed:
                raise asyncio.CancelledError  # nothing else stops sync code

        if all(hasattr(part, "run_async") for part in (generator.source, *generators_within(generator.source))):
            return send if self._stream and generator.name in self._streamed else None
        return send_from_thread  # a generator without `run_async` runs in a thread

    def put(self, item: Item) -> None:
        """Send an item from a thread, or from the event loop without waiting for the client."""
        if threading.get_ident() == self._loop_thread:
            self._sink.put_anyway(item)
        else:
            self._sink.put_from_thread(item)

    def tell(self, event: RunEvent) -> None:
        """Send what the author shows for an event."""
        if (shown := self._on_event(event)) is not None:
            self.put(item_of(shown))

    async def component_ended(self, outputs: Mapping[str, Any]) -> None:
        """Send what has not been streamed of the components whose turn has come."""
        self._ended |= outputs
        for name, generator in self._streamed.items():
            if name in self._ended and name not in self._metas and self._is_next(name):
                await self._finish(name, reply_of(self._ended[name], generator.output))

    async def end(self, reply: Callable[[Mapping[str, Any]], ChatMessage]) -> None:
        """Send what has not been streamed of the answer, or the reply if none of the components is streamed."""
        self._in_order = False
        await self.component_ended({})
        if not self._metas:
            await self._finish("", reply(self._ended))
        self.tell(self._ended)
        metas = [*self._metas.values()]
        meta = {"finish_reason": metas[-1].get("finish_reason"), "usage": total_usage(metas)}
        await self._sink.send(StreamingChunk("", meta=meta))

    async def _finish(self, name: str, reply: ChatMessage) -> None:
        """Send what has not been streamed of a reply."""
        sent, text = self._sent.get(name, Sent(self._separator)), reply.text or ""
        streamed = "".join(sent.texts)
        rest = text.removeprefix(streamed) if text.startswith(streamed) else ""
        if reply.reasoning and "reasoning" not in sent.parts:
            self.tell(reply.reasoning)
        message = ChatMessage.from_assistant(
            rest if streamed or not rest else sent.separator + rest,
            meta={} if "refusal" in sent.parts else {"refusal": reply.meta.get("refusal")},
            tool_calls=[] if "tool_calls" in sent.parts else reply.tool_calls,
        )
        await self._sink.send(message)
        self._metas[name] = reply.meta
        self._separator = BETWEEN_STEPS if text or streamed else self._separator

    def _is_next(self, name: str) -> bool:
        """Return whether a component may be streamed: no other one is, and those before it have ended."""
        if any(other != name and other not in self._metas for other in self._sent):
            return False
        earlier = takewhile(lambda other: other != name, self._streamed)
        return not self._in_order or all(other in self._metas for other in earlier)

    def _items(self, generator: Generator, chunk: StreamingChunk) -> Iterator[Item]:
        """Yield the items for a chunk, unless another component is streamed: this one then follows as a whole."""
        name = generator.name
        if not self._stream or name not in self._streamed or name in self._sent_whole:
            return
        if name not in self._sent and not self._is_next(name):
            self._sent_whole.add(name)
            return
        sent = self._sent.setdefault(name, Sent(self._separator))
        if chunk.reasoning:
            sent.parts.add("reasoning")
            if (shown := self._on_event(chunk.reasoning)) is not None:
                yield item_of(shown)
        if chunk.content:
            sent.texts.append(sent.separator + chunk.content if sent.texts else chunk.content)
            yield sent.separator + chunk.content
            sent.separator = ""
        if isinstance(generator.source, Agent):  # it calls its tools in this server: the client is sent events
            sent.separator = BETWEEN_STEPS if chunk.finish_reason and sent.texts else sent.separator
        elif chunk.tool_calls or "refusal" in chunk.meta:
            sent.parts.add("tool_calls" if chunk.tool_calls else "refusal")
            yield replace(chunk, content="", finish_reason=None, meta={"refusal": chunk.meta.get("refusal")})
