"""Pack `embeddings`: concurrent requests in one call of an embedder."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from app.embeddings.service import Embedder
from app.errors import InvalidRequestError, OverloadedError
from app.registry import Pipelines
from schemas.embeddings import Embeddings, Inputs
from tests.conftest import PATIENCE
from tests.template.asgi import until

pytestmark = pytest.mark.anyio


class Gate:
    """An async embedder that notes its calls, and waits in each until it is opened."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.opened = asyncio.Event()
        self.running = self.most = 0

    async def embed(self, texts: list[str], dimensions: int | None = None) -> Embeddings:
        self.calls.append(texts)
        self.running += 1
        self.most = max(self.most, self.running)
        await self.opened.wait()
        self.running -= 1
        if "bad" in texts:
            raise InvalidRequestError("This text is bad.")
        return Embeddings([[float(len(text))] * (dimensions or 1) for text in texts], [len(text) for text in texts])


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def ask(gate: Gate) -> AsyncIterator[Callable[..., asyncio.Task[Embeddings]]]:
    """Starts a request to an embedder of at most 4 texts a call, whose calls wait at the gate."""
    embedder = made(gate.embed, batch=4)

    def start(*texts: str, **fields: object) -> asyncio.Task[Embeddings]:
        return asyncio.create_task(embedder.embed([*texts], fields, {}))

    yield start
    await embedder.close()


def made(function: Callable[..., Any], **options: Any) -> Embedder:
    models = Pipelines()
    models.embedder("test", **options)(function)
    return Embedder(function, models.models["test"])


async def answers(*tasks: Awaitable[Embeddings]) -> list[Any]:
    """Return the vectors and tokens of each, or its error."""
    async with asyncio.timeout(PATIENCE):
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    return [
        (str(each),) if isinstance(each, BaseException) else ([*map(list, each.vectors)], each.prompt_tokens)
        for each in ended
    ]


async def test_requests_that_come_during_a_call_are_answered_by_the_next(gate: Gate, ask: Any) -> None:
    first = ask("a")
    await until(lambda: gate.calls)
    others = [ask("bb"), ask("ccc", "d"), ask("e", "f"), ask("gg")]
    await asyncio.sleep(0)
    gate.opened.set()

    assert await answers(first, *others) == [
        ([[1.0]], [1]),
        ([[2.0]], [2]),
        ([[3.0], [1.0]], [3, 1]),
        ([[1.0], [1.0]], [1, 1]),
        ([[2.0]], [2]),
    ]
    assert gate.calls == [["a"], ["bb", "ccc", "d", "gg"], ["e", "f"]]
    assert gate.most == 1


async def test_a_long_request_takes_several_calls_between_those_of_others(gate: Gate, ask: Any) -> None:
    long = ask(*"abcdefghij")
    await until(lambda: gate.calls)
    short = ask("short")
    await asyncio.sleep(0)
    gate.opened.set()

    assert await answers(long, short) == [([[1.0]] * 10, 10), ([[5.0]], [5])]
    assert gate.calls == [[*"abcd"], ["short"], [*"efgh"], [*"ij"]]


async def test_requests_with_other_arguments_are_not_joined(gate: Gate, ask: Any) -> None:
    gate.opened.set()
    tasks = [ask("a", dimensions=2), ask("b"), ask("c", dimensions=2), ask("d", user="Ann")]

    assert [vectors for vectors, _ in await answers(*tasks)] == [[[1.0, 1.0]], [[1.0]], [[1.0, 1.0]], [[1.0]]]
    assert gate.calls == [["a", "c"], ["b", "d"]]


async def test_no_request_gets_the_error_of_another(gate: Gate, ask: Any) -> None:
    gate.opened.set()

    assert await answers(ask("a"), ask("bad"), ask("c")) == [([[1.0]], [1]), ("This text is bad.",), ([[1.0]], [1])]
    assert gate.calls == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]


async def test_what_a_client_that_left_has_asked_for_is_not_embedded(gate: Gate, ask: Any) -> None:
    first = ask("a")
    await until(lambda: gate.calls)
    left, stays = ask("b"), ask("c")
    await asyncio.sleep(0)
    first.cancel()
    left.cancel()
    await asyncio.sleep(0)
    gate.opened.set()

    assert await answers(stays) == [([[1.0]], [1])]
    assert gate.calls == [["a"], ["c"]]
    assert first.cancelled()
    assert left.cancelled()


async def test_tokens_of_a_whole_call_are_those_of_one_request_alone() -> None:
    embedder = made(lambda texts: Embeddings([[1.0]] * len(texts), 5), batch=2)

    async def tokens(*texts: list[str]) -> list[Any]:
        return [tokens for _, tokens in await answers(*(embedder.embed(each, {}, {}) for each in texts))]

    assert await tokens(["a"]) == [5]
    assert await tokens(["a", "b", "c"]) == [10]
    assert await tokens(["a"], ["b"]) == [0, 0]


async def test_a_call_waits_for_further_requests_until_it_is_full() -> None:
    calls: list[Inputs] = []

    async def embed(texts: list[str]) -> list[list[float]]:
        calls.append(texts)
        return [[1.0]] * len(texts)

    embedder = made(embed, batch=2, wait=PATIENCE)
    first = asyncio.create_task(embedder.embed(["a"], {}, {}))
    for _ in range(10):
        await asyncio.sleep(0)
    assert calls == []
    second = asyncio.create_task(embedder.embed(["b"], {}, {}))
    await answers(first, second)
    assert calls == [["a", "b"]]

    soon = made(embed, batch=2, wait=0.01)
    assert await answers(soon.embed(["alone"], {}, {})) == [([[1.0]], 0)]


async def test_closing_stops_the_call_and_refuses_what_waits(gate: Gate) -> None:
    embedder = made(gate.embed, batch=1)
    tasks = [asyncio.create_task(embedder.embed([text], {}, {})) for text in "ab"]
    await until(lambda: gate.calls)
    await embedder.close()

    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in ended] == [OverloadedError] * 2
    assert gate.calls == [["a"]]
