"""A client that leaves stops its completion, and a slow one slows it down; with a real server and OpenAI's client."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from threading import Event
from typing import Any

import pytest
from openai import OpenAI

from app.services import Body, Messages
from tests.conftest import ASKS, PATIENCE, live, until

ITEMS = 1000  # of 64 KiB each: more than sockets buffer


class Run:
    """How far a model has come, as a test sees it from another thread."""

    def __init__(self) -> None:
        self.started, self.released, self.ended = Event(), Event(), Event()
        self.items = 0


def leave(client: OpenAI, run: Run, *, stream: bool) -> None:
    """Ask for a completion, and leave when the model has started."""
    if stream:
        with client.chat.completions.create(**ASKS, stream=True) as chunks:
            next(chunks)
            assert run.started.wait(PATIENCE)
    else:
        with closing(HTTPConnection(client.base_url.host, client.base_url.port)) as connection:
            connection.request("POST", "/v1/chat/completions", json.dumps(ASKS), {"content-type": "application/json"})
            assert run.started.wait(PATIENCE)


def generator(run: Run, model: str, messages: Messages, body: Body) -> Iterator[str]:
    run.started.set()
    try:
        while not run.released.wait(0.01):
            run.items += 1
            yield "more "
    finally:
        run.ended.set()


async def async_function(run: Run, model: str, messages: Messages, body: Body) -> None:
    run.started.set()
    try:
        await asyncio.Event().wait()
    finally:
        run.ended.set()


async def async_generator(run: Run, model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    yield "more "
    await async_function(run, model, messages, body)


@pytest.mark.parametrize(
    ("model", "stream"),
    [(generator, False), (generator, True), (async_generator, False), (async_generator, True), (async_function, False)],
)
def test_a_completion_is_stopped_when_its_client_leaves(model: Callable[..., Any], stream: bool) -> None:
    run = Run()
    with live(partial(model, run)) as client:
        leave(client, run, stream=stream)
        assert run.ended.wait(PATIENCE)


def test_a_setting_lets_completions_finish_without_their_client() -> None:
    run = Run()
    with live(partial(generator, run), finish_without_client=True) as client:
        leave(client, run, stream=True)
        seen = run.items
        until(lambda: run.items > seen + 10)
        assert not run.ended.is_set()
        run.released.set()
        assert run.ended.wait(PATIENCE)


def test_a_client_that_does_not_read_slows_the_generator_down() -> None:
    run = Run()

    async def flood(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        for run.items in range(1, ITEMS + 1):
            yield "x" * 65536
        run.ended.set()

    with live(flood) as client, client.chat.completions.create(**ASKS, stream=True) as chunks:
        next(chunks)
        assert not run.ended.wait(0.5)
        assert run.items < ITEMS / 2
        assert sum(len(chunk.choices[0].delta.content or "") for chunk in chunks) == ITEMS * 65536
