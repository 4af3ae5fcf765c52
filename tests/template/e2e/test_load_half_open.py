"""Many connections that never send a complete request: they cost others nothing, and are cut at the deadline."""

import asyncio
from collections.abc import Iterator
from itertools import cycle

import pytest

from tests.template.e2e.connection import chat
from tests.template.e2e.crowd import Guest, crowd, head_of, together
from tests.template.e2e.patience import eventually
from tests.template.e2e.server import Server

CONNECTIONS = 200
PAUSE = 0.05  # seconds between two bytes
HEAD = head_of(10_000)
CHUNKED = HEAD.replace(b"content-length: 10000", b"transfer-encoding: chunked")
REQUEST = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def impatient(many_files: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that soon cuts a connection without a complete request."""
    with Server.with_own_models(tmp_path_factory.mktemp("impatient") / "log", REQUEST_TIMEOUT="2") as running:
        yield running


async def drip(guest: Guest, begun: bytes, rest: bytes) -> bytes:
    """Send what a request begins with, then the rest a byte at a time until the connection ends."""
    guest.send(begun)
    ending = asyncio.create_task(guest.read_to_end())
    for byte in rest:
        if ending.done():
            break
        guest.send(bytes([byte]))
        await asyncio.sleep(PAUSE)
    return await ending


WAYS = {
    "silent": (b"", b""),
    "a head that stops": (HEAD[:50], b""),
    "a head, byte by byte": (b"", HEAD[:-4] + b"\r\nx-long: " + b"x" * 10_000),
    "empty lines for ever": (b"", b"\r\n" * 10_000),
    "a body that stops": (HEAD + b"{", b""),
    "a body, byte by byte": (HEAD, b" " * 9_999),
    "a chunk, byte by byte": (CHUNKED + b"fff\r\n", b" " * 4095),
    "chunk after chunk": (CHUNKED, b"1\r\n \r\n" * 2000),
}


async def test_all_are_cut_at_the_deadline_and_others_are_answered_meanwhile(impatient: Server) -> None:
    before = impatient.census().files
    async with crowd(impatient.port, CONNECTIONS) as guests, crowd(impatient.port, 1) as (other,):
        ways = [way for way, _ in zip(cycle(WAYS.values()), guests, strict=False)]
        half_open = asyncio.gather(*(drip(guest, *way) for guest, way in zip(guests, ways, strict=True)))
        answers = []
        while not half_open.done():
            answers += await together([other.ask(chat("generator", "Hello!", stream=True))])
            await asyncio.sleep(PAUSE)
        received = await half_open

    assert len(received) == CONNECTIONS
    assert not [data for data in received if data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 4")]
    assert len(answers) > 10
    assert {answer.text for answer in answers} == {"Hello, world"}
    eventually(impatient.census, lambda now: now.files == before)
    impatient.wait_until_idle()


async def test_a_connection_that_has_had_its_answer_is_cut_as_well(impatient: Server) -> None:
    async with crowd(impatient.port, len(WAYS)) as guests:
        for guest in guests:
            guest.send(REQUEST)
        answers = await together(guest.answer() for guest in guests)
        received = await together(drip(guest, *way) for guest, way in zip(guests, WAYS.values(), strict=True))

    assert {answer.status for answer in answers} == {200}
    assert len(received) == len(WAYS)


async def test_a_connection_on_which_but_an_empty_line_follows_an_answer_is_cut(impatient: Server) -> None:
    async with crowd(impatient.port, 1) as (guest,):
        guest.send(REQUEST)
        assert (await guest.answer()).status == 200
        guest.send(b"\r\n")

        assert await together([guest.read_to_end()]) == [b""]
