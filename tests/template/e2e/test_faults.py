"""A server under faults: random bytes, mutated requests, and models that do anything.

Each request is made from a seed of its own, which a failure names. The environment sets how many there are, and the
first seed: `FAULTS=50000 FAULTS_SEED=1000 pytest tests/template/e2e/test_faults.py`.
"""

import asyncio
import json
import os
import resource
import sys
from collections.abc import AsyncIterator, Iterator
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from litestar import Litestar

from app.app import create_app as create_project_app
from app.errors import CompletionError
from app.registry import Pipelines
from app.services import Body, Messages
from schemas.chat import ChatCompletion, Choice, Delta, Json, Message
from tests.conftest import PATIENCE, returning
from tests.template.chat.test_requests import FULL
from tests.template.e2e.connection import PATH, Connection, chat, head_of
from tests.template.e2e.journal import JournalController
from tests.template.e2e.server import Server
from tests.template.mutations import places

COUNT, FIRST = int(os.environ.get("FAULTS", "300")), int(os.environ.get("FAULTS_SEED", "1"))
GROWTH = 200 * 2**20  # bytes
EDGES: list[Any] = [None, True, 0, -1, 2**64, 1e308, "", "\x00", "\u2028", "a" * 10_000, [], {}, [[]], [None] * 99]
TOKENS = [*rb'NaN 1e999 " \ { ] \ud800 "model":1,'.split(), b"\xff", b"\xef\xbb\xbf", b"\r\n\r\n", b"\x00"]
SENT = {PATH: FULL, "/v1/responses": {"model": "echo", "input": [{"role": "user", "content": "Hello!"}]}}
CALL = {"id": "1", "function": {"name": "f", "arguments": "{"}}
TEXTS = ["", "a", "\ud800", "\u2028", b"a", 5, None, Delta(), Delta(content="b"), Delta(reasoning_content="c")]
CHOICES = [{"delta": {"content": "d"}, "finish_reason": "length"}, {"delta": {"tool_calls": [CALL]}}]
ITEMS = [*TEXTS, *({"choices": [choice]} for choice in CHOICES), {"choices": []}, {"choices": [], "usage": None}]
PYTHONS = [ValueError("a"), KeyError(), StopIteration(), StopAsyncIteration(), GeneratorExit(), SystemExit(1)]
OURS = [CompletionError("a", status=499), CompletionError("b", status=503, headers={"retry-after": "\n"})]
WHOLE = ["", "a", {"choices": [{"message": {"content": "a"}}]}, ChatCompletion(choices=[Choice(message=Message())])]


def chance_of(seed: object) -> Random:
    return Random(str(seed))  # noqa: S311 - no secret


def script_of(prompt: str) -> tuple[str, list[Any]]:
    """Return how a model answers this prompt, and with which items; it raises those that are exceptions."""
    chance = chance_of(prompt)
    how = chance.choice(["whole", "in a thread", "in a thread", "on the loop", "on the loop"])
    if how == "whole":
        return how, [chance.choice(WHOLE)]
    count = chance.randrange(8)
    return how, [chance.choice([*PYTHONS, *OURS] if chance.random() < 0.125 else ITEMS) for _ in range(count)]


def whatever(model: str, messages: Messages, body: Body) -> Any:
    how, items = script_of(str(messages[-1]["content"]))
    return items[0] if how == "whole" else in_a_thread(items) if how == "in a thread" else on_the_loop(items)


def in_a_thread(items: list[Any]) -> Iterator[object]:
    for item in items:
        if isinstance(item, BaseException):
            raise item
        yield item


async def on_the_loop(items: list[Any]) -> AsyncIterator[object]:
    for item in in_a_thread(items):
        await asyncio.sleep(0)
        yield item


def create_app() -> Litestar:
    """Compose the application that is served."""
    pipelines = Pipelines()
    pipelines.add("whatever", whatever)
    for name in (FULL["model"], "echo"):
        pipelines.add(name, returning("Hello!"))
    app = create_project_app(pipelines=pipelines)
    app.register(JournalController)
    return app


def mutated(chance: Random, value: Json) -> bytes:
    """Return a request with some values, and perhaps some bytes, replaced."""
    value = json.loads(json.dumps(value))
    for _ in range(chance.randrange(3)):
        container, key = chance.choice(list(places(value)))
        container[key] = deepcopy(chance.choice(EDGES))
    data = bytearray(json.dumps(value).encode())
    for _ in range(chance.choice([0, 0, 1, 3])):
        start = chance.randrange(len(data))
        data[start : start + chance.randrange(3)] = chance.choice([*TOKENS, chance.randbytes(2)])
    return bytes(data)


def send_bytes(chance: Random, server: Server, http: httpx.Client) -> None:
    body = chance.randbytes(chance.randrange(1000))
    start = chance.choice([b"", b"GET / HTTP/1.1\r\n", head_of(len(body)), head_of(len(body) + 1), head_of(5)])
    with Connection(server.port) as connection:
        connection.send(start + body)


def send_mutated(chance: Random, server: Server, http: httpx.Client) -> None:
    path, value = chance.choice(list(SENT.items()))
    response = http.post(path, content=mutated(chance, value), headers={"content-type": "application/json"})
    assert response.status_code < 500, response.text


def ask_whatever(chance: Random, server: Server, http: httpx.Client) -> None:
    prompt, stream = str(chance.random()), chance.random() < 0.5
    fails = any(isinstance(item, BaseException | bytes) for item in script_of(prompt)[1])
    if chance.random() < 0.2:
        with Connection(server.port) as connection:
            connection.post(chat("whatever", prompt, stream=stream))  # and leave
        return
    response = http.post(PATH, json=chat("whatever", prompt, stream=stream, n=chance.choice([1, 1, 3])))
    assert fails or (response.status_code == 200 and '"error":' not in response.text), response.text
    assert not stream or response.status_code >= 400 or response.text.endswith("data: [DONE]\n\n")


def memory_of(http: httpx.Client) -> int:
    """Return the bytes of memory that the server's process holds."""
    file = Path(f"/proc/{http.get('/journal').json()['process']}/statm")
    return int(file.read_text(encoding="ascii").split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's memory by a file")
def test_a_server_survives_faults(tmp_path: Path) -> None:
    faults = [send_bytes, send_mutated, send_mutated, ask_whatever, ask_whatever]
    server = Server(tmp_path / "log", app="tests.template.e2e.test_faults:create_app")
    with server, httpx.Client(base_url=server.url, timeout=PATIENCE) as http:
        before = memory_of(http)
        for seed in range(FIRST, FIRST + COUNT):
            chance = chance_of(seed)
            try:
                chance.choice(faults)(chance, server, http)
            except Exception as error:
                error.add_note(f"Try this request alone: FAULTS=1 FAULTS_SEED={seed}")
                raise
        assert len(server.models()) == 3
        assert memory_of(http) - before < GROWTH
