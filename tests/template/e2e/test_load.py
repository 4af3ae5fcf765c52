"""Many clients at once, and many streams in a row."""

import asyncio
import re
import resource
import sys
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.conftest import PATIENCE
from tests.template.e2e.connection import PATH, Connection, chat
from tests.template.e2e.server import Server

STREAMS = 60  # more than the 40 threads that anyio allows
QUESTIONS = 6  # on each of so many connections
IN_A_ROW = 1500
GROWTH = 2_000_000  # bytes
ECHOES = ["echo-function", "echo-generator", "echo-async-generator"]
MIXED = ["generator", "async-generator", "burst", "crash-after", "crash-after-sync"]


def test_all_streams_complete_and_the_models_are_listed_meanwhile(server: Server, key: str) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(Connection(server.port)) for _ in range(2 * STREAMS)]
        for stream, model in zip(streams, cycle(["gated-generator", "gated-async-generator"]), strict=False):
            stream.post(chat(model, key, stream=True))
            assert server.models()
        server.wait_for(key, "started", times=2 * STREAMS)
        server.open_gate(key)
        for stream in streams:
            assert stream.read_until(b"data: [DONE]\n\n").index(b'"first"') < stream.received.index(b'" second"')

    server.wait_for(key, "finished", times=2 * STREAMS)
    server.wait_until_idle()


def test_blocked_streams_whose_clients_have_left_do_not_delay_the_next(server: Server, key: str) -> None:
    with ExitStack() as stack:
        for _ in range(STREAMS):
            stack.enter_context(Connection(server.port)).post(chat("gated-generator", key, stream=True))
        server.wait_for(key, "blocked", times=STREAMS)

    for _ in range(3):
        with Connection(server.port) as connection:
            connection.post(chat("generator", "Hello!", stream=True))
            assert b", world" in connection.read_until(b"[DONE]")
    assert "closed" not in server.events(key)  # all of them were blocked all the time
    server.open_gate(key)
    server.wait_for(key, "closed", times=STREAMS)
    server.wait_until_idle()


@pytest.mark.anyio
async def test_each_answer_belongs_to_its_request(server: Server) -> None:
    async def converse(client: httpx.AsyncClient, number: int) -> None:
        for turn in range(number, number + QUESTIONS):
            question = f"q-{uuid4().hex}"
            answer = await client.post(PATH, json=chat(ECHOES[turn % 3], question, stream=turn % 2 == 0))
            assert re.findall(r"q-[0-9a-f]{32}", answer.text) == [question]

    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        await asyncio.gather(*(converse(client, number) for number in range(STREAMS)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's memory by a file")
def test_memory_does_not_grow_with_the_number_of_streams(server: Server) -> None:
    statm = Path(f"/proc/{server.census()['process']}/statm")

    def growth(streams: int) -> int:
        before = statm.read_text(encoding="ascii")
        with Connection(server.port) as connection:
            for model in islice(cycle(MIXED), streams):
                connection.received = b""
                connection.post(chat(model, "Hello!", stream=True))
                connection.read_until(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        after = statm.read_text(encoding="ascii")
        return (int(after.split()[1]) - int(before.split()[1])) * resource.getpagesize()

    growth(500)  # warms the server up
    assert growth(IN_A_ROW) < GROWTH
    server.wait_until_idle()
