"""The interface of a renderer, which turns the items of a completion into the format of an API."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from app.engine.chunks import Chunks
from app.engine.results import Item, ItemReader
from app.errors import CompletionError
from schemas.chat import ChatCompletionRequest


class Renderer(Protocol):
    """Renders items as the frames of a stream, or as one JSON object.

    Args:
        chunks: Reads the items, and has the figures of the completion at its end.
        last: The bytes after the last frame of a stream.
    """

    chunks: Chunks
    last: bytes

    def write(self, items: Sequence[Item], frames: list[bytes]) -> None:
        """Append the frames of some items; if one fails, those of the items before it stay."""
        ...

    async def finish(self, frames: list[bytes]) -> None:
        """Append the frames that end a stream without an error."""
        ...

    def fail(self, error: CompletionError) -> bytes:
        """Return the frames that end a stream with an error."""
        ...

    def add(self, items: Sequence[Item]) -> None:
        """Add some items to an answer that does not stream."""
        ...

    async def whole(self) -> Any:
        """Return the JSON object of all items that were added."""
        ...


MakeRenderer: TypeAlias = Callable[[ChatCompletionRequest, ItemReader], Renderer]
