"""Pack `embeddings`: what an embedder may return, and what it may not."""

import asyncio
from array import array
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from math import inf, nan
from struct import unpack
from typing import Any

import numpy as np
import pytest

from app.embeddings.vectors import SLICE, encoded
from schemas.embeddings import Embeddings
from tests.conftest import Serve, error_of
from tests.template.conftest import UNEXPECTED
from tests.template.packs.embedding import ROWS, data_of, embed, embedder


def lazily() -> Iterator[Any]:
    yield from map(np.array, ROWS)


RESULTS = {
    "lists": ROWS,
    "tuples": tuple(map(tuple, ROWS)),
    "integers": [[1, 0], [2, -3]],
    "arrays": [array("f", row) for row in ROWS],
    "a generator of arrays": lazily,
    "numpy's 32 bits": np.array(ROWS, dtype="f4"),
    "numpy's 16 bits": np.array(ROWS, dtype="f2"),
    "numpy's 64 bits, big-endian": np.array(ROWS, dtype=">f8"),
    "numpy's bytes": np.array([[1, 0], [2, 3]], dtype="u1"),
    "not contiguous": np.array([*zip(*ROWS, strict=True)]).T,
    "numpy's numbers": [[np.float32(number) for number in row] for row in ROWS],
    "with the tokens of each": Embeddings(ROWS, [3, 4]),
    "with numpy's number of tokens": Embeddings(ROWS, np.array([7])[0]),
}


@pytest.mark.parametrize("name", RESULTS)
def test_an_embedder_returns_vectors_in_any_form(serve: Serve, name: str) -> None:
    result: Any = RESULTS[name]
    client = serve(embedder(lambda texts: result() if callable(result) else result))

    numbers = data_of(embed(client, ["a", "b"]))
    encoded = data_of(embed(client, ["a", "b"], encoding_format="base64"))

    assert numbers == ([[1, 0], [2, -3]] if name == "integers" else [[1, 0], [2, 3]] if "bytes" in name else ROWS)
    assert [[*unpack("<2f", b64decode(each))] for each in encoded] == numbers


@pytest.mark.parametrize("encoding", ["float", "base64"])
@pytest.mark.parametrize(
    ("result", "logged"),
    [
        (None, "The embedder 'test' returned NoneType. Return a list of vectors"),
        ("text", "The embedder 'test' returned str. Return a list of vectors"),
        ({"data": []}, "The embedder 'test' returned dict. Return a list of vectors"),
        ([[1.0]], "The embedder 'test' returned 1 vectors for 2 inputs."),
        ([1.0, 2.0], "at 0: it is of the type float. Return a list of numbers, or an array, for each text."),
        ([[1.0], None], "The embedder 'test' returned no vector that can be sent, at 1: it is of the type NoneType."),
        ([[1.0], "a"], "The embedder 'test' returned no vector that can be sent, at 1: it is of the type str."),
        ([[1.0], [1.0, 2.0]], "The embedder 'test' returned a vector of 2 numbers, at 1, where 1 were due."),
        ([[], []], "The embedder 'test' returned a vector of 0 numbers, at 0"),
        (
            np.array([[1.0], [nan]]),
            "The embedder 'test' returned no vector that can be sent, at 1: it has NaN or an infinite number.",
        ),
        (
            [[1.0], [-inf]],
            "The embedder 'test' returned no vector that can be sent, at 1: it has NaN or an infinite number.",
        ),
        *(
            ([each] * 2, f"at 0: it is of the type {type(each).__qualname__}. Return a list of numbers")
            for each in ({1.0, 2.0}, {1.0: 2.0}, b"ab", bytearray(2))
        ),
        ([[3.4e38], [1e39]], "at 1: it has a number over 32 bits."),
        ([[1e300, -1e300]] * 2, "at 0: it has a number over 32 bits."),
        (Embeddings([[1.0], [2.0]], [1]), "The embedder 'test' returned 1 numbers of tokens for 2 inputs."),
        (ValueError("secret"), "secret"),
        (SystemExit("secret"), "A function raised SystemExit"),
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_a_500_whose_log_says_why(
    serve: Serve, caplog: pytest.LogCaptureFixture, result: Any, logged: str, encoding: str
) -> None:
    def fails(texts: list[str]) -> Any:
        if isinstance(result, BaseException):
            raise result
        return result

    response = embed(serve(embedder(fails)), ["a", "b"], encoding_format=encoding)

    assert (response.status_code, error_of(response)) == (500, UNEXPECTED)
    assert logged in caplog.text


def test_dimensions_that_an_embedder_does_not_keep_are_a_500(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    response = embed(serve(embedder(lambda texts, dimensions: ROWS[:1])), dimensions=3)

    assert (response.status_code, error_of(response)) == (500, UNEXPECTED)
    assert "a vector of 2 numbers, at 0, where 3 were due" in caplog.text


@pytest.mark.anyio
async def test_other_requests_have_their_turn_while_many_vectors_are_encoded() -> None:
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(0)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await encoded([[0.5] * SLICE] * 10, model="test", as_base64=False, size=None)
    task.cancel()
    assert len(turns) >= 9


async def stream_of(texts: list[str]) -> AsyncIterator[list[float]]:
    yield [1.0]


def test_an_async_generator_is_no_embedder(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    assert embed(serve(embedder(stream_of))).status_code == 500
    assert "The embedder 'test' returned async_generator" in caplog.text
