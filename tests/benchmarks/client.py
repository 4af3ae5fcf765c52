"""A small, fast HTTP client: it counts what a right answer holds, sees the end of it, and keeps nothing."""

import asyncio
from time import perf_counter
from typing import Self

import msgspec
from msgspec import Struct

from tests.benchmarks.models import CHAT, MODELS
from tests.benchmarks.servers import KEY

__all__ = ["Answer", "Connection", "Question", "chat", "list_models"]

HOST = "127.0.0.1"
LAST_CHUNK = b"0\r\n\r\n"


class Question(Struct, frozen=True):
    """A request, and what a right answer to it holds: a text, so many times."""

    request: bytes
    text: bytes
    times: int


class Answer(Struct):
    """An answer as far as it has come; times by `perf_counter`, as the loop's own clock has milliseconds only."""

    asked_at: float
    first_at: float = 0  # when the text came for the first time
    done_at: float = 0
    status: int = 0
    found: int = 0

    def check(self, question: Question) -> None:
        """Check that it is right.

        Raises:
            ValueError: it is not.
        """
        if (self.status, self.found) != (200, question.times):
            raise ValueError(f"answered {self.status}, with {self.found} of {question.times} texts")


def chat(model: str) -> Question:
    """Ask a model of the benchmark."""
    asked = MODELS[model]
    said = {"messages": [{"role": "user", "content": "Hello!"}]} if asked.path == CHAT else {"input": "Hello!"}
    body = msgspec.json.encode({"model": model, "stream": asked.stream, **said, **asked.asks})
    head = (
        f"POST {asked.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return Question(head.encode() + body, asked.text.encode(), asked.times * asked.said)


def list_models() -> Question:
    """Ask which models there are."""
    return Question(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n", b'"object":"list"', 1)


class Connection(asyncio.Protocol):
    """A connection, kept alive, for one question at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect to a server of this machine."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, HOST, port)
        return connection

    async def ask(self, question: Question) -> Answer:
        """Ask, and wait for the end of the answer.

        Raises:
            ValueError: the answer is not right.
            ConnectionError: the server has closed the connection.
        """
        await self.ask_for_first(question)
        await self._done
        self.answer.check(question)
        return self.answer

    async def ask_for_first(self, question: Question) -> None:
        """Ask, and wait until the text has come for the first time, or the answer has ended."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("closed the connection")
        self._text, self._head, self._tail = question.text, b"", b""
        self._in_body, self._left = False, 0
        self.answer = Answer(perf_counter())
        self._first, self._done = self._loop.create_future(), self._loop.create_future()
        self._transport.write(question.request)
        await self._first

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as it is for TCP
        """Be ready to ask."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail whoever waits."""
        self._transport = None
        for waiter in (getattr(self, "_first", None), getattr(self, "_done", None)):
            if waiter is not None and not waiter.done():
                waiter.set_exception(ConnectionError("closed the connection"))
                waiter.exception()  # seen, if nobody awaits it

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if not self._in_body:
            self._head, end, data = (self._head + data).partition(b"\r\n\r\n")
            if not end:
                return
            self._read_head()
        window = self._tail + data  # a text may have come in two pieces
        self._tail = window[1 - len(self._text) :]
        found = window.count(self._text)
        self.answer.found += found
        if found and not self._first.done():
            self.answer.first_at = perf_counter()
            self._first.set_result(None)
        self._left -= len(data)
        if self._left == 0 if self._sized else window.endswith(LAST_CHUNK):
            self._end()

    def _read_head(self) -> None:
        self._in_body = True
        self.answer.status = int(self._head[9:12])
        _, self._sized, rest = self._head.lower().partition(b"content-length:")
        self._left = int(rest.partition(b"\r\n")[0]) if self._sized else 0

    def _end(self) -> None:
        self.answer.done_at = perf_counter()
        for waiter in (self._first, self._done):
            if not waiter.done():
                waiter.set_result(None)
