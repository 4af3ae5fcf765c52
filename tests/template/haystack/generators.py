"""Chat generators as a user may have them, with an async side and without: what they say is scripted."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, TypeAlias

from haystack import component
from haystack.components.generators.utils import _convert_streaming_chunks_to_chat_message
from haystack.dataclasses import ChatMessage, ChatRole, ReasoningContent, StreamingChunk, ToolCallDelta
from haystack.tools.tool import Tool
from msgspec import Struct

__all__ = [
    "Asked",
    "AsyncGenerator",
    "Script",
    "Step",
    "SyncGenerator",
    "calling",
    "echo",
    "finished",
    "in_turn",
    "says",
    "thought",
    "usage_of",
]

Step: TypeAlias = StreamingChunk | Exception
Script: TypeAlias = Callable[[list[ChatMessage]], Iterable[Step]]
Replies: TypeAlias = dict[str, list[ChatMessage]]
Kwargs: TypeAlias = dict[str, Any]
Finish: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]


class Asked(Struct, frozen=True):
    """What a generator was asked."""

    messages: list[ChatMessage]
    generation_kwargs: Kwargs | None
    tools: list[Tool] | None


class _Scripted:
    def __init__(self, script: Script) -> None:
        self.asked: list[Asked] = []
        self._script = script

    def _steps(self, messages: list[ChatMessage], kwargs: Kwargs | None, tools: list[Tool] | None) -> list[Step]:
        self.asked.append(Asked(messages, kwargs, tools))
        return list(self._script(messages))


@component
class SyncGenerator(_Scripted):
    """A generator that runs in a thread."""

    @component.output_types(replies=list[ChatMessage])
    def run(
        self,
        messages: list[ChatMessage],
        streaming_callback: Callable[[StreamingChunk], None] | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        tools: list[Tool] | None = None,
    ) -> dict[str, list[ChatMessage]]:
        chunks: list[StreamingChunk] = []
        for step in self._steps(messages, generation_kwargs, tools):
            chunks.append(_spoken(step))
            if streaming_callback is not None:
                streaming_callback(chunks[-1])
        return _replies(chunks)


@component
class AsyncGenerator(_Scripted):
    """A generator that runs on the event loop."""

    @component.output_types(replies=list[ChatMessage])
    def run(
        self,
        messages: list[ChatMessage],
        streaming_callback: Callable[[StreamingChunk], Awaitable[None]] | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        tools: list[Tool] | None = None,
    ) -> dict[str, list[ChatMessage]]:
        raise AssertionError("The server must not call the sync side of a component that has an async one")

    @component.output_types(replies=list[ChatMessage])
    async def run_async(
        self,
        messages: list[ChatMessage],
        streaming_callback: Callable[[StreamingChunk], Awaitable[None]] | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        tools: list[Tool] | None = None,
    ) -> dict[str, list[ChatMessage]]:
        chunks: list[StreamingChunk] = []
        for step in self._steps(messages, generation_kwargs, tools):
            chunks.append(_spoken(step))
            if streaming_callback is not None:
                await streaming_callback(chunks[-1])
        return _replies(chunks)


def says(*steps: Step | str) -> Script:
    """The same answer each time; a text is a chunk, and an exception is raised."""
    script = [StreamingChunk(step, index=0) if isinstance(step, str) else step for step in steps]
    return lambda messages: script


def in_turn(*scripts: Script) -> Script:
    """An agent's steps: which one it is at shows in the conversation."""

    def script(messages: list[ChatMessage]) -> Iterable[Step]:
        users = [position for position, message in enumerate(messages) if message.is_from(ChatRole.USER)]
        step = sum(message.is_from(ChatRole.ASSISTANT) for message in messages[users[-1] :])
        return scripts[step](messages)

    return script


def echo(messages: list[ChatMessage]) -> Iterable[Step]:
    """What was said last, word by word."""
    return says(*(f"{word} " for word in (messages[-1].text or "").split()))(messages)


def thought(text: str) -> StreamingChunk:
    """A chunk of reasoning."""
    return StreamingChunk("", reasoning=ReasoningContent(text), index=0)


def calling(index: int, arguments: str = "", *, id: str | None = None, name: str | None = None) -> StreamingChunk:
    """A chunk of a tool call."""
    return StreamingChunk("", tool_calls=[ToolCallDelta(index, name, arguments, id)], index=index)


def finished(reason: Finish = "stop", *, prompt: int = 0, completion: int = 0) -> StreamingChunk:
    """The last chunk of an answer, with its usage if it has any."""
    meta = {"usage": usage_of(prompt, completion)} if prompt else {}
    return StreamingChunk("", finish_reason=reason, meta=meta)


def usage_of(prompt: int, completion: int) -> dict[str, int]:
    """OpenAI's usage."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _spoken(step: Step) -> StreamingChunk:
    if isinstance(step, Exception):
        raise step
    return step


def _replies(chunks: list[StreamingChunk]) -> Replies:
    return {"replies": [_convert_streaming_chunks_to_chat_message(chunks)]}
