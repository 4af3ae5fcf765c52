"""Micro-batching: the inputs of concurrent requests in one call of an embedder."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from app.embeddings.vectors import tokens_of
from app.engine.engine import SHUTTING_DOWN
from app.errors import OverloadedError
from schemas.chat import Json
from schemas.embeddings import Embeddings, Inputs

Call: TypeAlias = Callable[[Inputs, Json], Awaitable[Embeddings]]


class Batches:
    """Calls an embedder for several requests at once. The calls follow one another: what comes during one waits.

    Requests are joined if their arguments beside the inputs are equal. If a call for several fails, each is made alone,
    so that no request gets the error of another. A call that has begun runs to its end, even if its clients leave.

    Args:
        call: Calls the embedder with inputs, and with further arguments by name.
        size: How many inputs a call may have; a longer request takes several calls, between those of others.
        wait: Seconds that a call which is not full waits for further requests.
    """

    def __init__(self, call: Call, size: int, wait: float) -> None:
        self._call = call
        self._size = size
        self._wait = wait
        self._waiting: list[_PendingInputs] = []
        self._count = 0  # inputs that wait
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def embed(self, inputs: Inputs, arguments: Json) -> Embeddings:
        """Return the embeddings of one request."""
        key = msgspec.json.encode(arguments) if arguments else b""
        pieces = (inputs[start : start + self._size] for start in range(0, len(inputs), self._size))
        found = [await self._embed(_PendingInputs(piece, arguments, key)) for piece in pieces]
        if len(found) == 1:
            return found[0]
        return Embeddings([vector for each in found for vector in each.vectors], sum(map(tokens_of, found)))

    async def close(self) -> None:
        """Stop the call that runs, and refuse the requests that wait."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _embed(self, pending: "_PendingInputs") -> Embeddings:
        self._waiting.append(pending)
        self._count += len(pending.inputs)
        if self._count >= self._size:
            self._full.set()
        if self._task is None:  # not in the context of its first request
            self._task = asyncio.create_task(self._run(), context=Context())
        return await pending.embeddings

    async def _run(self) -> None:
        taken: list[_PendingInputs] = []
        try:
            while self._waiting:
                await self._gather()
                taken = self._take()
                if taken:
                    await self._answer(taken)
        finally:
            self._task = None
            for pending in (*taken, *self._waiting):
                pending.fail(OverloadedError(SHUTTING_DOWN))

    async def _gather(self) -> None:
        """Wait until the next call is full, or its first request has waited long enough."""
        left = self._waiting[0].since + self._wait - asyncio.get_running_loop().time()
        if left > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), left)

    def _take(self) -> list["_PendingInputs"]:
        """Return the requests of the next call: the first that waits, and those like it that there is room for."""
        taken: list[_PendingInputs] = []
        waiting, self._waiting = self._waiting, []
        room = self._size
        for pending in waiting:
            if pending.embeddings.done():  # its client has left
                continue
            if not taken or (len(pending.inputs) <= room and pending.key == taken[0].key):
                taken.append(pending)
                room -= len(pending.inputs)
            else:
                self._waiting.append(pending)
        self._count = sum(len(pending.inputs) for pending in self._waiting)
        if self._count < self._size:
            self._full.clear()
        return taken

    async def _answer(self, joined: Sequence["_PendingInputs"]) -> None:
        inputs: Any = [each for pending in joined for each in pending.inputs]
        try:
            found = await self._call(inputs, joined[0].arguments)
            for pending, embeddings in zip(joined, _split(found, joined), strict=True):
                pending.succeed(embeddings)
        except Exception as error:
            if len(joined) == 1:
                joined[0].fail(error)
                return
            for pending in joined:
                if not pending.embeddings.done():
                    await self._answer([pending])


class _PendingInputs(Struct, eq=False):
    """Inputs of a request that go into one call."""

    inputs: Inputs
    arguments: Json
    key: bytes
    since: float = msgspec.field(default_factory=lambda: asyncio.get_running_loop().time())
    embeddings: "asyncio.Future[Embeddings]" = msgspec.field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def succeed(self, embeddings: Embeddings) -> None:
        if not self.embeddings.done():
            self.embeddings.set_result(embeddings)

    def fail(self, error: Exception) -> None:
        if not self.embeddings.done():
            self.embeddings.set_exception(error)


def _split(found: Embeddings, joined: Sequence[_PendingInputs]) -> Iterator[Embeddings]:
    """Yield the embeddings of each request; a number of tokens of all inputs belongs to a request that is alone."""
    start, tokens = 0, found.prompt_tokens
    for pending in joined:
        end = start + len(pending.inputs)
        if isinstance(tokens, int):
            yield Embeddings(found.vectors[start:end], tokens if len(joined) == 1 else 0)
        else:
            yield Embeddings(found.vectors[start:end], tokens[start:end])
        start = end
