"""Rate limits, as clients of real processes meet them; and across processes, with a real Redis."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path

import httpx
import pytest
from openai import RateLimitError

from tests.template.e2e.clients import client_of, says
from tests.template.e2e.connection import chat
from tests.template.e2e.crowd import Guest, crowd, together
from tests.template.e2e.patience import PATIENCE, eventually
from tests.template.e2e.redis import Redis, needs_redis
from tests.template.e2e.server import Server, free_port

LIMIT = 40
UNREACHABLE = "Redis does not answer"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    with Redis(tmp_path, free_port()) as running:
        yield running


def limits(requests: int = LIMIT, **more: str) -> dict[str, str]:
    """The settings of a server that allows so many requests."""
    return {"REQUESTS_PER_MINUTE": str(requests), **more}


@asynccontextmanager
async def guests_of_both_workers(server: Server) -> AsyncIterator[list[Guest]]:
    """Clients of a server with two workers, some of the one and some of the other."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        async with crowd(server.port, 8) as guests:
            if len({await process_of(guest) for guest in guests}) == 2:
                yield guests
                return
    raise AssertionError("One of the workers takes all connections.")


async def process_of(guest: Guest) -> bytes:
    """The process that answers a client for as long as it is connected; to ask for it costs nothing."""
    guest.send(b"GET /journal/process HTTP/1.1\r\nhost: localhost\r\n\r\n")
    return (await guest.answer()).body


async def statuses_of(guest: Guest, count: int) -> list[int]:
    """The statuses of so many answers."""
    return [(await guest.ask(chat("function", "Hello!"))).status for _ in range(count)]


def test_a_client_is_told_what_is_left_and_when_to_come_back(tmp_path: Path) -> None:
    with Server(tmp_path / "log", settings=limits(requests=2)) as server, client_of(server) as client:
        for left in ("1", "0"):
            response = client.chat.completions.with_raw_response.create(model="echo", messages=says("Hello!"))
            assert response.headers["x-ratelimit-limit-requests"] == "2"
            assert response.headers["x-ratelimit-remaining-requests"] == left

        with pytest.raises(RateLimitError) as caught:
            client.chat.completions.create(model="echo", messages=says("Hello!"), stream=True)

    assert (caught.value.type, caught.value.code) == ("rate_limit_error", "rate_limit_exceeded")
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 60


def test_without_keys_each_address_has_a_limit_of_its_own(tmp_path: Path) -> None:
    with Server(tmp_path / "log", settings=limits(requests=1)) as server:
        for address in ("127.0.0.1", "127.0.0.2"):
            transport = httpx.HTTPTransport(local_address=address)
            with httpx.Client(base_url=server.url, transport=transport, timeout=PATIENCE) as client:
                assert client.get("/v1/models").status_code == 200
                assert client.get("/v1/models").status_code == 429


@needs_redis
@pytest.mark.anyio
async def test_two_workers_that_share_a_redis_grant_no_more_than_one_would(tmp_path: Path, redis: Redis) -> None:
    with Server.with_own_models(tmp_path / "log", 2, **limits(REDIS_URL=redis.url)) as server:
        async with guests_of_both_workers(server) as guests:
            start = time.monotonic()
            statuses = await together(statuses_of(guest, LIMIT // 2) for guest in guests)
            regained = (time.monotonic() - start) * LIMIT / 60

    counts = Counter(chain.from_iterable(statuses))
    assert counts.keys() == {200, 429}
    assert LIMIT <= counts[200] <= LIMIT + regained + 1
    assert UNREACHABLE not in server.log


@needs_redis
def test_two_servers_that_share_a_redis_count_a_key_together(tmp_path: Path, redis: Redis) -> None:
    settings = limits(requests=1, REDIS_URL=redis.url, API_KEYS="sk-one,sk-two")
    with (
        Server(tmp_path / "first", settings=settings) as first,
        Server(tmp_path / "second", settings=settings) as second,
    ):
        for key in ("sk-one", "sk-two"):
            headers = {"authorization": f"Bearer {key}"}
            statuses = [httpx.get(f"{server.url}/v1/models", headers=headers).status_code for server in (first, second)]
            assert UNREACHABLE not in first.log + second.log
            assert statuses == [200, 429]


@needs_redis
def test_a_caller_who_has_just_begun_waits_for_the_whole_window_of_redis(tmp_path: Path, redis: Redis) -> None:
    settings = limits(requests=1, REDIS_URL=redis.url, API_KEYS=",".join(f"sk-{number}" for number in range(20)))
    with Server(tmp_path / "log", settings=settings) as server, httpx.Client(base_url=server.url) as client:
        for number in range(20):
            headers = {"authorization": f"Bearer sk-{number}"}
            granted, refused = (client.get("/v1/models", headers=headers) for _ in range(2))
            assert granted.headers["x-ratelimit-reset-requests"].startswith(("1m0s", "59."))
            assert int(refused.headers["retry-after"]) >= 59


@needs_redis
@pytest.mark.anyio
async def test_many_requests_at_once_wait_for_a_connection_to_redis(tmp_path: Path, redis: Redis) -> None:
    with Server(tmp_path / "log", settings=limits(REDIS_URL=redis.url)) as server:
        async with crowd(server.port, 200) as guests:
            statuses = await together(statuses_of(guest, 1) for guest in guests)

    assert Counter(chain.from_iterable(statuses))[200] < 2 * LIMIT  # one count, not that of Redis and another
    assert UNREACHABLE not in server.log


@needs_redis
def test_a_connection_that_has_died_is_made_again(tmp_path: Path) -> None:
    port = free_port()
    (first, second) = (tmp_path / name for name in ("first", "second"))
    first.mkdir()
    second.mkdir()
    with Redis(first, port) as redis, Server(tmp_path / "log", settings=limits(REDIS_URL=redis.url)) as server:
        left_at(server)
        redis.stop()
        with Redis(second, port):
            assert left_at(server) == LIMIT - 1

    assert UNREACHABLE not in server.log


@needs_redis
def test_a_server_goes_on_without_its_redis_and_shares_again_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    (first, second) = (tmp_path / name for name in ("first", "second"))
    first.mkdir()
    second.mkdir()
    with (
        Redis(first, port) as redis,
        Server(tmp_path / "log", settings=limits(requests=3, REDIS_URL=redis.url)) as server,
    ):
        assert left_at(server) == 2
        redis.stop()
        assert left_at(server) == 2  # by its own count
        assert left_at(server) == 1
        assert server.log.count(UNREACHABLE) == 1
        with Redis(second, port):
            eventually(lambda: left_at(server), lambda left: left == 2)


def test_a_redis_that_does_not_listen_stops_no_request(tmp_path: Path) -> None:
    settings = limits(requests=2, REDIS_URL=f"redis://:hunter2@127.0.0.1:{free_port()}")
    with Server(tmp_path / "log", settings=settings) as server:
        statuses = [httpx.get(f"{server.url}/v1/models").status_code for _ in range(3)]

    assert statuses == [200, 200, 429]
    assert server.log.count(UNREACHABLE) == 1
    assert "hunter2" not in server.log


def left_at(server: Server) -> int:
    """What remains after a request."""
    response = httpx.get(f"{server.url}/v1/models", timeout=PATIENCE)
    return int(response.headers["x-ratelimit-remaining-requests"])
