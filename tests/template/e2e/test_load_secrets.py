"""Services that fail by the hundred, in every way there is: what they say reaches nobody, and the server goes on."""

from itertools import product

import pytest

from tests.template.e2e.connection import chat
from tests.template.e2e.crowd import Answer, Guest, crowd, together
from tests.template.e2e.failing import SECRET
from tests.template.e2e.server import Server

BEFORE = ["crash", "crash-sync", "crash-before", "crash-before-async", "crash-at", "crash-at-async"]
AFTER = ["crash-after", "crash-after-sync", "crash-at-the-end"]
ROUNDS = 10
SECRETS = [SECRET, "hunter2", "Traceback", "RuntimeError", "ValueError", "OSError", ".py", "Unreadable"]
FIXED = {
    "message": "The server had an error while processing the request.",
    "type": "server_error",
    "param": None,
    "code": None,
}

pytestmark = pytest.mark.anyio


async def answers_of(server: Server, models: list[str], *, stream: bool) -> list[Answer]:
    """The answers of all these models, each asked by several clients at once and again and again."""

    async def ask(guest: Guest, model: str) -> list[Answer]:
        return [await guest.ask(chat(model, "Hello!", stream=stream)) for _ in range(ROUNDS)]

    asked = list(product(models, range(5)))
    async with crowd(server.port, len(asked)) as guests:
        answers = await together(ask(guest, model) for guest, (model, _) in zip(guests, asked, strict=True))
    server.wait_until_idle()
    assert server.models()
    return [answer for some in answers for answer in some]


def secrets_in(answers: list[Answer]) -> list[str]:
    """The secrets that the answers reveal."""
    return [secret for answer in answers for secret in SECRETS if secret in f"{answer.headers} {answer.body!r}"]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_exception_before_or_at_the_first_item_is_an_error_that_says_nothing(
    busy: Server, stream: bool
) -> None:
    answers = await answers_of(busy, BEFORE, stream=stream)

    assert {answer.status for answer in answers} == {500}
    assert [answer.json for answer in answers] == [{"error": FIXED}] * len(answers)
    assert secrets_in(answers) == []


async def test_an_exception_after_the_first_item_is_an_error_when_the_whole_is_waited_for(busy: Server) -> None:
    answers = await answers_of(busy, AFTER, stream=False)

    assert [answer.json for answer in answers] == [{"error": FIXED}] * len(answers)
    assert secrets_in(answers) == []


async def test_an_exception_after_the_first_item_ends_the_stream_and_says_nothing(busy: Server) -> None:
    answers = await answers_of(busy, AFTER, stream=True)

    assert {answer.status for answer in answers} == {200}
    assert [b'"content":"one"' in answer.body for answer in answers] == [True] * len(answers)
    assert [answer.frames[-1] for answer in answers] == ["[DONE]"] * len(answers)
    assert [b"The server had an error" in answer.body for answer in answers] == [True] * len(answers)
    assert secrets_in(answers) == []
