"""Many clients at once, on one event loop."""

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from msgspec import Struct

from tests.conftest import PATIENCE
from tests.template.e2e.connection import head_of

__all__ = ["Answer", "Guest", "crowd", "head_of", "together"]

AT_ONCE = 100  # connections that are opened at a time
T = TypeVar("T")


class Answer(Struct, frozen=True):
    """A complete response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def frames(self) -> list[str]:
        frames = self.body.decode().removesuffix("\n\n").split("\n\n")
        return [frame.removeprefix("data: ") for frame in frames if not frame.startswith(":")]


class Guest:
    """A client with one connection."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def post(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send(head_of(len(data)) + data)

    async def ask(self, body: dict[str, Any]) -> Answer:
        self.post(body)
        return await self.answer()

    async def read_until(self, mark: bytes) -> bytes:
        return await self._reader.readuntil(mark)

    async def read_to_end(self) -> bytes:
        """Read until the server closes the connection, also by a reset."""
        received = bytearray()
        with suppress(ConnectionError):
            while data := await self._reader.read(65536):
                received += data
        return bytes(received)

    async def answer(self) -> Answer:
        head, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = await self._chunks()
        elif "content-length" in headers:
            body = await self._reader.readexactly(int(headers["content-length"]))
        else:
            body = await self.read_to_end()
        return Answer(int(head.split()[1]), headers, body)

    async def _chunks(self) -> bytes:
        parts = []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return b"".join(parts)

    async def leave(self) -> None:
        """Close the connection without reading what waits."""
        self._writer.transport.abort()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


@asynccontextmanager
async def crowd(port: int, size: int) -> AsyncIterator[list[Guest]]:
    """Connect so many clients to a server; they leave at the end."""
    guests: list[Guest] = []
    try:
        while len(guests) < size:
            count = min(AT_ONCE, size - len(guests))
            streams = await together(asyncio.open_connection("127.0.0.1", port) for _ in range(count))
            guests += [Guest(*stream) for stream in streams]
        yield guests
    finally:
        await together(guest.leave() for guest in guests)


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results of coroutines that run at once."""
    async with asyncio.timeout(PATIENCE):
        return await asyncio.gather(*work)
