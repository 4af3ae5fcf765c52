"""Many clients at once, on one event loop: each a connection of its own, read by the letter."""

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self, TypeVar

from msgspec import Struct

from tests.template.e2e.connection import PATH
from tests.template.e2e.patience import PATIENCE

__all__ = ["Answer", "Guest", "crowd", "together"]

AT_ONCE = 100  # connections that are opened at a time
T = TypeVar("T")


class Answer(Struct, frozen=True):
    """A response that came to its end as HTTP has it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The object that it holds."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def frames(self) -> list[str]:
        """The data of the frames that it holds."""
        frames = self.body.decode().removesuffix("\n\n").split("\n\n")
        return [frame.removeprefix("data: ") for frame in frames if not frame.startswith(":")]

    @property
    def text(self) -> str:
        """The text of the completion that it holds, whole or in chunks."""
        if self.headers["content-type"] == "application/json":
            return str(self.json["choices"][0]["message"]["content"])
        *frames, done = self.frames
        assert done == "[DONE]", frames
        choices = [choice for frame in frames for choice in json.loads(frame)["choices"]]
        return "".join(choice["delta"].get("content", "") for choice in choices)


class Guest:
    """One client of a crowd."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def of(cls, port: int) -> Self:
        """Connect to a server."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    def post(self, body: dict[str, Any]) -> None:
        """Send a request for a completion."""
        data = json.dumps(body).encode()
        self.send(head_of(len(data)) + data)

    async def ask(self, body: dict[str, Any]) -> Answer:
        """Send a request for a completion, and read its answer."""
        self.post(body)
        return await self.answer()

    async def read_until(self, mark: bytes) -> bytes:
        """Read until the mark has arrived."""
        return await self._reader.readuntil(mark)

    async def read_to_end(self) -> bytes:
        """Read until the server closes the connection, in whatever way."""
        received = bytearray()
        with suppress(ConnectionError):
            while data := await self._reader.read(65536):
                received += data
        return bytes(received)

    async def answer(self) -> Answer:
        """Read a response to its end, and not a byte more."""
        head, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Answer(int(head.split()[1]), headers, await self._body(headers))

    async def rest_of_chunks(self) -> bytes:
        """Read the chunks of a body that come, up to the one that says it is the last."""
        parts = []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return b"".join(parts)

    async def leave(self) -> None:
        """Close the connection at once, whatever waits to be read."""
        self._writer.transport.abort()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            return await self.rest_of_chunks()
        if "content-length" not in headers:
            return await self.read_to_end()
        return await self._reader.readexactly(int(headers["content-length"]))


def head_of(length: int) -> bytes:
    """The head of a request for a completion with a body of so many bytes."""
    head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {length}\r\n\r\n".encode()


@asynccontextmanager
async def crowd(port: int, size: int) -> AsyncIterator[list[Guest]]:
    """So many clients of a server, who leave at the end."""
    guests: list[Guest] = []
    try:
        while len(guests) < size:
            count = min(AT_ONCE, size - len(guests))
            guests += await together(Guest.of(port) for _ in range(count))
        yield guests
    finally:
        await together(guest.leave() for guest in guests)


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of these return, done at once.

    Raises:
        TimeoutError: some are not done in time.
    """
    async with asyncio.timeout(PATIENCE):
        return await asyncio.gather(*work)
