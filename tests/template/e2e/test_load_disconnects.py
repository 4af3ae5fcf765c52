"""Many clients that leave in mid-stream: whatever was made for them is gone soon after."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.crowd import crowd, together
from tests.template.e2e.journal import Census
from tests.template.e2e.patience import eventually
from tests.template.e2e.server import Server

CLIENTS = 200
HOGS = 20
ENDLESS = ["endless-async-generator", "endless-generator"]

pytestmark = pytest.mark.anyio


def workers(census: Census) -> int:
    """How many threads for sync code there are."""
    return census.threads.get("completion-worker", 0)


def until_closed(server: Server, key: str) -> Counter[str]:
    """How often each event was noted when all that has started is closed."""
    return eventually(lambda: Counter(server.events(key)), lambda events: events["closed"] >= events["started"])


@pytest.fixture(autouse=True)
def leaves_nothing_behind(busy: Server) -> Iterator[None]:
    """No task, generator, thread or open file is left of what a test did."""
    busy.wait_until_idle()
    before = eventually(busy.census, lambda now: not workers(now))
    yield
    busy.wait_until_idle()
    eventually(busy.census, lambda now: (now.threads, now.files) == (before.threads, before.files))


@pytest.mark.parametrize("model", ENDLESS)
async def test_all_generators_are_closed_when_their_clients_leave(busy: Server, key: str, model: str) -> None:
    async with crowd(busy.port, CLIENTS) as guests:
        for guest in guests:
            guest.post(chat(model, key, stream=True))
        await together(guest.read_until(b"more ") for guest in guests)
        assert busy.events(key) == ["started"] * CLIENTS
        assert busy.census().files > CLIENTS

    assert until_closed(busy, key) == {"started": CLIENTS, "closed": CLIENTS}


@pytest.mark.parametrize("model", ENDLESS)
async def test_all_generators_are_closed_when_those_leave_who_wait_for_the_whole(
    busy: Server, key: str, model: str
) -> None:
    async with crowd(busy.port, CLIENTS) as guests:
        for guest in guests:
            guest.post(chat(model, key))
        eventually(lambda: busy.events(key), lambda events: len(events) == CLIENTS)

    assert until_closed(busy, key) == {"started": CLIENTS, "closed": CLIENTS}


def test_the_server_goes_on_when_stalled_readers_of_what_never_awaits_leave(busy: Server, key: str) -> None:
    with ExitStack() as stack:
        for _ in range(HOGS):
            connection = stack.enter_context(Connection(busy.port, receive_buffer=4096))
            connection.post(chat("hog", key, stream=True))
            connection.read_until(b"more ")
        assert [len(busy.models()) > 0 for _ in range(HOGS)] == [True] * HOGS
        assert busy.events(key) == ["started"] * HOGS

    assert [len(busy.models()) > 0 for _ in range(HOGS)] == [True] * HOGS
    assert until_closed(busy, key) == {"started": HOGS, "closed": HOGS}
