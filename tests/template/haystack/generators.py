"""Chat generators that say what a script says: one runs on the event loop, the other in a thread."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias

import pytest
from haystack import component
from haystack.components.generators.utils import _convert_streaming_chunks_to_chat_message
from haystack.dataclasses import ChatMessage, ChatRole, ReasoningContent, StreamingChunk, ToolCallDelta
from haystack.tools.tool import Tool
from msgspec import Struct

from tests.template.haystack.answers import usage_of

Messages: TypeAlias = list[ChatMessage]
Callback: TypeAlias = Callable[[StreamingChunk], Any] | None
Kwargs: TypeAlias = dict[str, Any] | None
Tools: TypeAlias = list[Tool] | None
Step: TypeAlias = StreamingChunk | BaseException
Script: TypeAlias = Callable[[Messages], Iterable[Step]]
Finish: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]


class Asked(Struct, frozen=True):
    """What a generator was asked."""

    messages: Messages
    generation_kwargs: Kwargs
    tools: Tools


@component
class SyncGenerator:
    """A generator that runs in a thread."""

    def __init__(self, script: Script) -> None:
        self.asked: list[Asked] = []
        self._script = script

    @component.output_types(replies=Messages)
    def run(
        self,
        messages: Messages,
        streaming_callback: Callback = None,
        generation_kwargs: Kwargs = None,
        tools: Tools = None,
    ) -> dict[str, Messages]:
        assert not hasattr(self, "run_async"), "The server must not call the sync side of an async component"
        chunks: list[StreamingChunk] = []
        for step in self._steps(messages, generation_kwargs, tools):
            chunks.append(chunk := taken(step))
            if streaming_callback is not None:
                streaming_callback(chunk)
        return {"replies": [_convert_streaming_chunks_to_chat_message(chunks)]}

    def _steps(self, *asked: Any) -> Iterable[Step]:
        self.asked.append(Asked(*asked))
        return self._script(self.asked[-1].messages)


def taken(step: Step) -> StreamingChunk:
    """Return the chunk of a step, or raise its exception."""
    if isinstance(step, BaseException):
        raise step
    return step


@component
class AsyncGenerator(SyncGenerator):
    """A generator that runs on the event loop."""

    @component.output_types(replies=Messages)
    async def run_async(
        self,
        messages: Messages,
        streaming_callback: Callback = None,
        generation_kwargs: Kwargs = None,
        tools: Tools = None,
    ) -> dict[str, Messages]:
        chunks: list[StreamingChunk] = []
        for step in self._steps(messages, generation_kwargs, tools):
            chunks.append(chunk := taken(step))
            if streaming_callback is not None:
                await streaming_callback(chunk)
        return {"replies": [_convert_streaming_chunks_to_chat_message(chunks)]}


Kind: TypeAlias = type[AsyncGenerator] | type[SyncGenerator]
each_kind = pytest.mark.parametrize("kind", [AsyncGenerator, SyncGenerator])
each_mode = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def says(*steps: Step | str) -> Script:
    """Return the script of one answer: a text is a chunk, an exception is raised."""
    script = [StreamingChunk(step, index=0) if isinstance(step, str) else step for step in steps]
    return lambda messages: script


def in_turn(*scripts: Script) -> Script:
    """Return the script of an agent's steps, of which the conversation shows how many are done."""

    def script(messages: Messages) -> Iterable[Step]:
        users = [position for position, message in enumerate(messages) if message.is_from(ChatRole.USER)]
        step = sum(message.is_from(ChatRole.ASSISTANT) for message in messages[users[-1] :])
        return scripts[step](messages)

    return script


def echo(messages: Messages) -> Iterable[Step]:
    """Repeat the last message, word by word."""
    return says(*(f"{word} " for word in (messages[-1].text or "").split()))(messages)


def reasoning(text: str) -> StreamingChunk:
    return StreamingChunk("", reasoning=ReasoningContent(text), index=0)


def calling(index: int, arguments: str = "", *, id: str | None = None, name: str | None = None) -> StreamingChunk:
    return StreamingChunk("", tool_calls=[ToolCallDelta(index, name, arguments, id)], index=index)


def finished(reason: Finish = "stop", *, prompt: int = 0, completion: int = 0) -> StreamingChunk:
    """Return the last chunk of an answer, with its usage if it has any."""
    meta = {"usage": usage_of(prompt, completion)} if prompt else {}
    return StreamingChunk("", finish_reason=reason, meta=meta)
