"""A server that is told to stop while many streams are open: they finish, or are told; and the process ends in time."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import pytest

from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.crowd import Guest, crowd, head_of, together
from tests.template.e2e.server import MISHAPS, Server

STREAMS = 50
LATE_COMERS = 10
GRACE = 1
UNENDING = [
    "endless-async-generator",
    "endless-generator",
    "gated-async-generator",
    "gated-generator",  # whose threads are blocked, and stay so
    "hog",
    "torrent",
]
BRIEF = ["brief", "brief-generator"]
BEGUN = [b"", b"POST ", head_of(9), head_of(9) + b"{"]
Record = Callable[[str, object], None]

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def ending(request: pytest.FixtureRequest, many_files: None, tmp_path: Path) -> Iterator[Server]:
    """A server of its own, that a test may end, and that gives streams a second to finish."""
    settings = {"SHUTDOWN_GRACE": str(GRACE)}
    with Server.with_own_models(tmp_path / "log", request.param, **settings) as server:
        yield server


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def patient(request: pytest.FixtureRequest, many_files: None, tmp_path: Path) -> Iterator[Server]:
    """One that gives them as long as they need."""
    with Server.with_own_models(tmp_path / "log", request.param) as server:
        yield server


async def stop(server: Server, record: Record) -> None:
    """Tell the server to stop, wait until it has, and record how long that took."""
    began = time.monotonic()
    server.send(signal.SIGTERM)
    code = await asyncio.to_thread(server.wait)
    record(f"seconds until the process ended, with a grace of {GRACE}", round(time.monotonic() - began, 2))
    assert code == 0, server.log


async def open_stream(guest: Guest, model: str) -> None:
    """Ask for a stream, and wait until its first items have come."""
    guest.post(chat(model, "Hello!", stream=True))
    await guest.read_until(b"\r\n\r\n")


async def test_streams_that_outlast_the_grace_are_told_and_end_cleanly(ending: Server, record_property: Record) -> None:
    async with crowd(ending.port, STREAMS) as guests:
        await together(open_stream(guest, model) for guest, model in zip(guests, cycle(UNENDING), strict=False))
        reading = asyncio.gather(*(guest.rest_of_chunks() for guest in guests))
        await stop(ending, record_property)
        bodies = await reading
        after = await together(guest.read_to_end() for guest in guests)

    for body in bodies:
        *_, error, done, rest = body.split(b"\n\n")
        assert error.startswith(b'data: {"error":{"message":"The server is shutting down.')
        assert (done, rest) == (b"data: [DONE]", b"")
        assert b'"finish_reason":"' not in body
    assert set(after) == {b""}


async def test_streams_that_finish_within_the_grace_complete_and_no_more_are_begun(
    patient: Server, record_property: Record
) -> None:
    question = b'{"model":"function","messages":[{"role":"user","content":"Hello!"}]}'
    async with crowd(patient.port, STREAMS) as guests, crowd(patient.port, LATE_COMERS) as late:
        for guest in late:
            guest.send(head_of(len(question)) + question[:-1])
        await together(open_stream(guest, model) for guest, model in zip(guests, cycle(BRIEF), strict=False))
        reading = asyncio.gather(*(guest.rest_of_chunks() for guest in guests))

        patient.send(signal.SIGTERM)

        await asyncio.to_thread(patient.wait_until_it_shuts_down)
        for guest in late:
            guest.send(question[-1:])
        refusals = await together(guest.answer() for guest in late)
        strangers = [await asyncio.to_thread(outcome, patient) for _ in range(LATE_COMERS)]
        bodies = await reading
        assert await asyncio.to_thread(patient.wait) == 0

    assert [answer.status for answer in refusals] == [503] * LATE_COMERS
    assert [answer.json["error"]["code"] for answer in refusals] == ["overloaded"] * LATE_COMERS
    assert "retry-after" in refusals[0].headers
    assert [body.count(b'"content":') for body in bodies] == [51] * STREAMS
    assert [body.endswith(b"data: [DONE]\n\n") for body in bodies] == [True] * STREAMS
    assert set(strangers) <= {"refused", "503"}


def outcome(server: Server) -> str:
    """What comes of a request: its status, or that it was refused."""
    try:
        with Connection(server.port) as connection:
            connection.post(chat("function", "Hello!"))
            return connection.read_to_end().split(b" ")[1].decode() or "refused"
    except (ConnectionError, IndexError):
        return "refused"


async def test_nobody_who_does_not_read_or_does_not_write_keeps_it_alive(
    ending: Server, record_property: Record
) -> None:
    with ExitStack() as stack:
        for model in ["torrent", "async-torrent", "hog"] * 3:
            reader = stack.enter_context(Connection(ending.port, receive_buffer=4096))
            reader.post(chat(model, "Hello!", stream=True))
            reader.read_until(b"data: ")
        async with crowd(ending.port, len(BEGUN)) as guests:
            for guest, begun in zip(guests, BEGUN, strict=True):
                guest.send(begun)
            await asyncio.sleep(0.1)  # until the server has seen it

            await stop(ending, record_property)

            received = await together(guest.read_to_end() for guest in guests)

    assert not [data for data in received if data.startswith(b"HTTP/1.1 500")]
    assert not [mishap for mishap in MISHAPS if mishap in ending.log], ending.log
