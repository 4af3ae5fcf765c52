"""Requests that are wrong in hundreds of ways: each gets an error, soon, and in the form that clients read."""

from collections.abc import Iterator

import pytest

from tests.template.e2e.connection import chat
from tests.template.e2e.crowd import Answer, crowd, head_of, together
from tests.template.e2e.malformed import malformed_bodies, malformed_http
from tests.template.e2e.server import Server

BODIES = [head_of(len(body)) + body for body in malformed_bodies()]
REQUESTS = list(malformed_http())
KEYS = {"message", "type", "param", "code"}

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def leaves_nothing_behind(busy: Server) -> Iterator[None]:
    """No task and no generator is left of what a test did, and no open file."""
    before = busy.census().files
    yield
    busy.wait_until_idle()
    assert busy.census().files == before
    assert "Traceback" not in busy.log


def mistake_in(answer: Answer) -> str | None:
    """What is wrong with the answer to a wrong request, if anything is."""
    if not 400 <= answer.status < 500:
        return f"status {answer.status}"
    if answer.headers.get("content-type") != "application/json":
        return f"content-type {answer.headers.get('content-type')}"
    if answer.json.keys() != {"error"} or answer.json["error"].keys() != KEYS:
        return f"body {answer.body[:200]!r}"
    return None


async def mistakes(server: Server, requests: list[bytes]) -> list[tuple[bytes, str]]:
    """The requests that get no right answer, each on a connection of its own, with what they got."""
    found = []
    async with crowd(server.port, len(requests)) as guests:
        for guest, request in zip(guests, requests, strict=True):
            guest.send(request)
        for guest, request in zip(guests, requests, strict=True):
            try:
                (answer,) = await together([guest.answer()])
            except (EOFError, ConnectionError, TimeoutError) as error:
                found.append((request[:200], repr(error)))
            else:
                if mistake := mistake_in(answer):
                    found.append((request[:200], mistake))
    return found


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len({*BODIES, *REQUESTS}) >= 300


async def test_a_body_that_is_wrong_is_refused_in_the_form_of_an_error(busy: Server) -> None:
    assert await mistakes(busy, BODIES) == []


async def test_a_request_that_is_wrong_as_http_is_refused_in_the_form_of_an_error(busy: Server) -> None:
    assert await mistakes(busy, REQUESTS) == []


async def test_one_connection_may_send_one_wrong_body_after_the_other(busy: Server) -> None:
    async with crowd(busy.port, 1) as (guest,):
        for request in BODIES:
            guest.send(request)
            (answer,) = await together([guest.answer()])
            assert mistake_in(answer) is None, request[:200]


async def test_what_is_not_http_in_mid_stream_ends_the_stream_and_adds_nothing_to_it(busy: Server, key: str) -> None:
    async with crowd(busy.port, 1) as (guest,):
        guest.post(chat("gated-async-generator", key, stream=True))
        await guest.read_until(b'"first"')
        guest.send(b"\x00\r\n\r\n")
        (rest,) = await together([guest.read_to_end()])

    assert b"HTTP/1.1" not in rest
    assert busy.wait_for(key, "closed") == ["started", "closed"]
