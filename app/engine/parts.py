"""The parts of an answer: what every item of a model is read as, and what every renderer writes.

Text of the first choice is a plain `str`; everything else is one of these.
"""

from collections.abc import Awaitable
from types import AsyncGeneratorType, GeneratorType
from typing import TypeAlias

from msgspec import Struct

from schemas.chat import Json

MISTAKES = (  # whose text no client should see
    (Awaitable, "`await` it, and yield the result."),
    (GeneratorType | AsyncGeneratorType, "Yield its items one by one."),
    (bytes | bytearray | memoryview, "Decode it, as by `.decode()`, and yield the text."),
    (BaseException, "Raise it."),
)


class ChoiceDelta(Struct):
    """What one choice gains: `delta` has OpenAI's fields of a message, e.g. `content` or `tool_calls`, and others."""

    index: int = 0
    delta: Json = {}
    finish_reason: str | None = None
    extra: Json = {}  # further fields of the choice, e.g. `logprobs`
    chunk: Json = {}  # further fields of the chunk it came in, e.g. `id`


class ChunkFields(Struct):
    """Fields of a chunk without a choice, e.g. an `event`."""

    fields: Json


class TokenUsage(Struct):
    """Numbers of tokens, as far as the model reported them; for one choice, if it was asked for each."""

    usage: Json
    index: int = 0


Part: TypeAlias = str | ChoiceDelta | ChunkFields | TokenUsage


def text_of(value: object) -> str:
    """Return the text of a value that is no part, "" for None; raise a TypeError for one that is yielded by mistake."""
    match value:
        case None:
            return ""
        case str():
            return str.__str__(value)
    for kind, advice in MISTAKES:
        if isinstance(value, kind):
            raise TypeError(f"A service yielded {type(value).__qualname__} where text is due. {advice}")
    return str(value)
