"""The form in which a completion goes out: OpenAI has two, and this is that of chat completions."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeAlias

from app.engine.chunks import Chunks, Head
from app.engine.collector import Collector
from app.engine.frames import DONE, frame, text_framer
from app.engine.items import Item, Reader
from app.errors import CompletionError
from schemas.chat import ChatCompletionRequest

__all__ = ["ChatForm", "Form", "MakeForm"]


class Form(Protocol):
    """Turns the items of a completion into what its client gets: frames, or one JSON object.

    Args:
        chunks: what reads the items; it knows what there is to record in the end.
        last: the bytes after the last frame of a stream.
    """

    chunks: Chunks
    last: bytes

    def write(self, items: Sequence[Item], frames: list[bytes]) -> None:
        """Append the frames of some items; those before an error stay."""
        ...

    async def finish(self, frames: list[bytes]) -> None:
        """Append the frames that end a stream well."""
        ...

    def fail(self, error: CompletionError) -> bytes:
        """The frames that end a stream by an error."""
        ...

    def add(self, items: Sequence[Item]) -> None:
        """Add items to what does not stream."""
        ...

    async def whole(self) -> Any:
        """All that was added, as one JSON object."""
        ...


MakeForm: TypeAlias = Callable[[ChatCompletionRequest, Reader], Form]


class ChatForm:
    """A chat completion, or the chunks of one."""

    last = DONE

    def __init__(self, request: ChatCompletionRequest, reader: Reader) -> None:
        self.chunks = Chunks(Head(request.model), reader, include_usage=request.include_usage)

    def write(self, items: Sequence[Item], frames: list[bytes]) -> None:
        """One frame for each chunk."""
        for chunk in self.chunks.read(items):
            frames.append(self._text_frame(chunk) if isinstance(chunk, str) else frame(chunk))  # noqa: PERF401 - those before an error stay

    async def finish(self, frames: list[bytes]) -> None:
        """The finish reasons, and the usage."""
        frames.extend(map(frame, self.chunks.finish()))

    def fail(self, error: CompletionError) -> bytes:
        """The error in a frame of its own."""
        return frame(error.to_response())

    def add(self, items: Sequence[Item]) -> None:
        """Collect them."""
        self._collector.add(items)

    async def whole(self) -> Any:
        """The completion."""
        return self._collector.completion()

    @cached_property
    def _collector(self) -> Collector:
        return Collector(self.chunks)

    @cached_property
    def _text_frame(self) -> Callable[[str], bytes]:
        return text_framer(self.chunks.text(""))  # when the first text comes, what precedes it is settled
