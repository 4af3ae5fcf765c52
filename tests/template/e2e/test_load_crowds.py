"""Many clients at once: all are answered, each with its own, and nobody waits for a stranger."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.template.e2e.connection import chat
from tests.template.e2e.crowd import Guest, crowd, together
from tests.template.e2e.patience import eventually
from tests.template.e2e.server import Server

STREAMS = 500  # of each kind, which is as many threads as there are by default
ABANDONED = 60
CONNECTIONS = 100
QUESTIONS = 20  # on each connection
ECHOES = ["echo-function", "echo-generator", "echo-async-generator"]
MODELS = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def leaves_nothing_behind(busy: Server) -> Iterator[None]:
    """No task and no generator is left of what a test did."""
    yield
    busy.wait_until_idle()


async def list_models(guest: Guest) -> int:
    """The status of the answer to a request for the models."""
    guest.send(MODELS)
    return (await guest.answer()).status


async def test_all_streams_complete_and_the_models_are_listed_meanwhile(busy: Server, key: str) -> None:
    async with crowd(busy.port, 2 * STREAMS) as guests, crowd(busy.port, 1) as (other,):
        streams = [
            asyncio.create_task(guest.ask(chat(model, key, stream=True)))
            for guest, model in zip(guests, ["gated-generator", "gated-async-generator"] * STREAMS, strict=True)
        ]
        statuses = [await list_models(other) for _ in range(20)]
        while (await asyncio.to_thread(busy.events, key)).count("started") < 2 * STREAMS:
            statuses.append(await list_models(other))
        assert not [stream for stream in streams if stream.done()]
        await asyncio.to_thread(busy.open_gate, key)
        statuses += [await list_models(other) for _ in range(20)]
        answers = await together(asyncio.wait_for(stream, None) for stream in streams)

    assert {answer.status for answer in answers} == {200}
    assert [answer.text for answer in answers] == ["first second"] * (2 * STREAMS)
    assert set(statuses) == {200}
    events = eventually(lambda: busy.events(key), lambda events: events.count("closed") == 2 * STREAMS)
    assert events.count("finished") == 2 * STREAMS


async def test_blocked_streams_whose_clients_have_left_do_not_delay_the_next(busy: Server, key: str) -> None:
    async with crowd(busy.port, ABANDONED) as guests:
        for guest in guests:
            guest.post(chat("gated-generator", key, stream=True))
        eventually(lambda: busy.events(key), lambda events: events.count("blocked") == ABANDONED)

    async with crowd(busy.port, 1) as (next_guest,):
        answers = [await together([next_guest.ask(chat("generator", "Hello!", stream=True))]) for _ in range(3)]

    assert [answer.text for (answer,) in answers] == ["Hello, world"] * 3
    assert "closed" not in busy.events(key)  # all of them were blocked all the time
    busy.open_gate(key)
    eventually(lambda: busy.events(key), lambda events: events.count("closed") == ABANDONED)


async def test_each_answer_belongs_to_its_request(busy: Server) -> None:
    async def converse(guest: Guest, number: int) -> list[tuple[str, str]]:
        """Ask one question after the other, and return them with their answers."""
        said = []
        for turn in range(QUESTIONS):
            question = " ".join(f"{part}-{uuid4().hex}" for part in range(turn + 2)) + " "
            model = ECHOES[(number + turn) % len(ECHOES)]
            answer = await guest.ask(chat(model, question, stream=bool((number + turn) % 2)))
            said.append((question, answer.text))
        return said

    async with crowd(busy.port, CONNECTIONS) as guests:
        talks = await together(converse(guest, number) for number, guest in enumerate(guests))

    said = [exchange for talk in talks for exchange in talk]
    assert len({question for question, _ in said}) == CONNECTIONS * QUESTIONS == 2000
    assert [answer for _, answer in said] == [question for question, _ in said]
