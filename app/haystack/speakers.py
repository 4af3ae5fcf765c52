"""The components whose words reach the client, and what one run of them sends."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage, StreamingChunk
from msgspec import Struct

from app.engine.buffer import Buffer
from app.engine.results import Item
from app.haystack.events import AgentStream
from app.haystack.parameters import ABOUT_TOOLS
from schemas.chat import Delta

__all__ = ["AnyComponent", "Run", "Speaker", "can_speak", "within"]

AnyComponent: TypeAlias = Any  # Haystack's own type does not declare what its decorator adds to a class

PARTS = ("content", "reasoning", "tool_calls", "finish_reason", "usage")  # of a reply


def can_speak(component: AnyComponent) -> bool:
    """Whether a component can stream what it generates."""
    return "streaming_callback" in component.__haystack_input__


def within(component: AnyComponent) -> list[AnyComponent]:
    """The generators that an agent, or a generator with fallbacks, has within it."""
    own = (getattr(component, "chat_generator", None), *getattr(component, "chat_generators", ()))
    return [part for generator in own if generator is not None for part in (generator, *within(generator))]


class Speaker(Struct, frozen=True):
    """A component that streams, under its name in the pipeline.

    Args:
        takes: the inputs that nothing else feeds.
    """

    name: str
    component: AnyComponent
    takes: frozenset[str]

    @property
    def is_agent(self) -> bool:
        """Whether it calls tools itself."""
        return isinstance(self.component, Agent)

    @property
    def is_async(self) -> bool:
        """Whether all that it streams comes on the event loop: what has no `run_async` runs in a thread."""
        return all(hasattr(part, "run_async") for part in (self.component, *within(self.component)))

    def inputs(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """What of a request's parameters the component takes; an agent's tools are its own."""
        inputs = {
            name: value
            for name, value in parameters.items()
            if value and name in self.takes and not (self.is_agent and name == "tools")
        }
        if "tools" not in inputs and (kwargs := inputs.pop("generation_kwargs", None)):
            inputs["generation_kwargs"] = {name: kwargs[name] for name in kwargs if name not in ABOUT_TOOLS}
        return inputs


class Run:
    """One run of some speakers, on its way to a client.

    Args:
        buffer: where the items go.
        streams: whether the client wants what they say as they say it, and not the reply alone.
        all_speak: whether all of them are heard; else the first that speaks is.
    """

    def __init__(self, buffer: Buffer[Item], *, streams: bool, all_speak: bool) -> None:
        self._buffer = buffer
        self._streams = streams
        self._all_speak = all_speak
        self._loop_thread = threading.get_ident()
        self._heard: Speaker | None = None
        self._text: list[str] = []
        self._sent: set[str] = set()

    def callback(self, speaker: Speaker) -> Callable[[StreamingChunk], Any] | None:
        """What the speaker calls with each chunk, in the form that it needs.

        It is a function, as Haystack copies anything else before it calls it.
        """
        agent = AgentStream() if speaker.is_agent else None
        buffer = self._buffer

        async def on_loop(chunk: StreamingChunk) -> None:
            for item in self._items(speaker, agent, chunk):
                await buffer.send(item)

        def anywhere(chunk: StreamingChunk) -> None:
            for item in self._items(speaker, agent, chunk) if self._streams else ():
                self._put(item)
            if buffer.closed:
                raise asyncio.CancelledError  # nothing else stops sync code

        if not speaker.is_async:
            return anywhere
        return on_loop if self._streams else None

    @property
    def heard(self) -> str | None:
        """The name of the one that is heard, if one has spoken."""
        return None if self._heard is None else self._heard.name

    async def finish(self, reply: ChatMessage) -> None:
        """Send what of the reply nobody has streamed."""
        if not self._sent & {"content", "reasoning", "tool_calls"}:
            await self._buffer.send(reply)
            return
        if (text := reply.text or "").startswith(spoken := "".join(self._text)):
            await self._buffer.send(text.removeprefix(spoken))
        if reply.tool_calls and "tool_calls" not in self._sent:
            await self._buffer.send(ChatMessage.from_assistant(tool_calls=reply.tool_calls))
        if (reason := reply.meta.get("finish_reason")) and "finish_reason" not in self._sent:
            await self._buffer.send({"choices": [{"delta": {}, "finish_reason": reason}]})
        if (usage := reply.meta.get("usage")) and "usage" not in self._sent:
            await self._buffer.send({"choices": [], "usage": usage})

    def _put(self, item: Item) -> None:
        if threading.get_ident() == self._loop_thread:  # an agent, whose generator is sync, says what a tool returned
            self._buffer.put_anyway(item)
        else:
            self._buffer.put_from_thread(item)

    def _items(self, speaker: Speaker, agent: AgentStream | None, chunk: StreamingChunk) -> Iterable[Item]:
        if not self._all_speak and (self._heard or speaker) is not speaker:
            return ()
        self._heard = speaker
        items = (chunk,) if agent is None else tuple(agent.items(chunk))
        for item in items:
            self._note(item)
        return items

    def _note(self, item: Item) -> None:
        match item:
            case str():
                self._text.append(item)
                self._sent.add("content")
            case Delta():
                self._sent.add("reasoning")
            case StreamingChunk():
                self._text.append(item.content)
                self._sent.update(name for name in PARTS if getattr(item, name, None) or item.meta.get(name))
