"""The vectors that an embedder returns: checked, and encoded as the request wants them."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import takewhile
from math import isfinite
from numbers import Integral
from struct import pack
from typing import Any, cast

from msgspec import Raw

from app.engine.frames import encode
from app.engine.invoke import call
from app.engine.run import is_cancelled
from schemas.embeddings import Embedding, Embeddings

SLICE = 20_000  # numbers that are encoded before other requests have their turn: a millisecond
FLOAT_MAX = (2 - 2**-23) * 2.0**127  # the largest number of 32 bits, as which most clients ask for them
TOO_LARGE = "it has a number over 32 bits."


async def read(result: object, count: int, *, model: str) -> Embeddings:
    """Return what the embedder of this name has returned for so many inputs.

    Raises:
        TypeError: It cannot be read as vectors.
        ValueError: There are not as many as inputs.
    """
    given = result if isinstance(result, Embeddings) else Embeddings(result)
    vectors, tokens = given.vectors, given.prompt_tokens
    if isinstance(vectors, Iterator):  # e.g. a generator of a library, which does its work now
        vectors = await call(_all, vectors)
    if isinstance(vectors, str | bytes | dict) or not hasattr(vectors, "__len__"):
        raise TypeError(
            f"The embedder {model!r} returned {type(vectors).__qualname__}. Return a list of vectors, "
            "a two-dimensional array, an iterator of vectors, or `Embeddings` with one of these."
        )
    if len(vectors) != count:
        raise ValueError(f"The embedder {model!r} returned {len(vectors)} vectors for {count} inputs.")
    if isinstance(tokens, int | Integral):
        return Embeddings(vectors, int(tokens))
    if len(tokens) != count:
        raise ValueError(f"The embedder {model!r} returned {len(tokens)} numbers of tokens for {count} inputs.")
    return Embeddings(vectors, tokens)


async def encoded(vectors: Sequence[Any], *, model: str, as_base64: bool, size: int | None) -> list[Embedding]:
    """Return the vectors as they are sent.

    Args:
        vectors: The vectors.
        model: The name of the embedder.
        as_base64: Whether they are sent as little-endian 32-bit floats, in Base64.
        size: The numbers that each must have; None if nothing says so.

    Raises:
        ValueError: One of them is no vector, has another length, or a number that cannot be sent.
    """
    data: list[Embedding] = []
    waiting = 0
    for index, vector in enumerate(vectors):
        try:
            length, sent = _as_floats(vector) if as_base64 else _as_json(vector)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The embedder {model!r} returned no vector that can be sent, at {index}: {error}"
            ) from error
        size = length if size is None else size
        if length != size or not length:
            raise ValueError(
                f"The embedder {model!r} returned a vector of {length} numbers, at {index}, where {size} were due."
            )
        data.append(Embedding(index=index, embedding=cast("Any", sent)))
        waiting += length
        if waiting >= SLICE:
            await asyncio.sleep(0)
            waiting = 0
    return data


def tokens_of(embeddings: Embeddings) -> int:
    """Return the number of tokens of all inputs."""
    tokens = embeddings.prompt_tokens
    return tokens if isinstance(tokens, int) else int(sum(tokens))


def _all(vectors: Iterator[Any]) -> list[Any]:
    """Return all vectors, or those until the completion is stopped."""
    return list(takewhile(lambda _: not is_cancelled(), vectors))


def _as_json(vector: Any) -> tuple[int, Raw]:
    numbers = _numbers(vector)
    if numbers and not -FLOAT_MAX <= min(numbers) <= max(numbers) <= FLOAT_MAX:
        raise ValueError(TOO_LARGE)
    return len(numbers), Raw(encode(numbers))


def _as_floats(vector: Any) -> tuple[int, bytes]:
    """Return the length and the bytes, which are encoded in Base64 with the rest of the answer."""
    if hasattr(vector, "astype") and vector.ndim == 1 and len(vector):  # of numpy: a tenth of the time
        floats = vector.astype("<f4")
        if isfinite(floats.min()) and isfinite(floats.max()):
            return len(floats), floats.tobytes()
    numbers = _numbers(vector)
    try:
        return len(numbers), pack(f"<{len(numbers)}f", *numbers)
    except OverflowError:
        raise ValueError(TOO_LARGE) from None


def _numbers(vector: Any) -> list[float]:
    try:
        if isinstance(vector, bytes | bytearray | Set | Mapping):
            raise TypeError  # they can be summed up too
        numbers: list[float] = vector.tolist() if hasattr(vector, "tolist") else list(vector)
        total = sum(numbers)
        if type(total) is not float:  # integers, or numbers of numpy
            numbers = [float(number) for number in numbers]
            total = sum(numbers)
    except TypeError:
        raise TypeError(
            f"it is of the type {type(vector).__qualname__}. Return a list of numbers, or an array, for each text."
        ) from None
    if not isfinite(total) and not all(map(isfinite, numbers)):
        raise ValueError("it has NaN or an infinite number.")
    return numbers
