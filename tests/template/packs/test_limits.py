"""Pack `limits`: rates of requests, counted in memory or in a Redis that several servers share."""

import asyncio
import logging
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from httpx import Response
from litestar import Litestar

import app.limits.plugin
import app.limits.rates
from app.app import create_app
from app.keys import Keys
from app.registry import Pipelines
from app.settings import Secret, Settings, SettingsError
from tests.conftest import PATIENCE, ROOT, Client, Serve, ask, error_of, returning, until
from tests.template.e2e.redis import Redis, free_port, needs_redis
from tests.template.e2e.server import Server

LIMIT, REMAINING, RESET = (f"x-ratelimit-{name}-requests" for name in ("limit", "remaining", "reset"))
UNREACHABLE = "Redis does not answer"
WITHOUT_REDIS = """
import sys
sys.modules["redis"] = None
from app.app import create_app
from app.settings import Settings, SettingsError
create_app(settings=Settings(requests_per_minute=1))
try:
    create_app(settings=Settings.load({"REQUESTS_PER_MINUTE": "1", "REDIS_URL": "redis://localhost"}))
except SettingsError as error:
    print(error.message)
"""


@pytest.fixture(autouse=True)
def early_in_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a minute begin with the test, as the window slides when one ends."""
    now, late = time.time, time.time() % 60
    monkeypatch.setattr(time, "time", lambda: now() - late)


def request(client: Client, key: str = "none") -> Response:
    return client.get("/v1/models", headers={"authorization": f"Bearer {key}"})


def left_at(client: Client) -> str:
    """Return how many requests are left after another one."""
    remaining: str = request(client).headers[REMAINING]
    return remaining


def async_client_of(application: Litestar, address: str = "192.0.2.1", port: int = 50000) -> httpx.AsyncClient:
    """Return a client, on the event loop of the test, of this address."""
    asgi: Any = application  # Litestar's types of ASGI are narrower than httpx's
    return httpx.AsyncClient(transport=httpx.ASGITransport(asgi, client=(address, port)), base_url="http://test")


class Clock:
    """The time, which a test moves on; at first, a minute begins."""

    now = 60.0 * 30_000_000

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.mark.parametrize(("requests", "second"), [(1, 0.5), (1, 59.5), (2, 21.5), (60, 0.5), (60, 59.5)])
def test_a_caller_that_waits_as_long_as_the_refusal_says_is_served(
    serve: Serve, clock: Clock, requests: int, second: float
) -> None:
    client = serve(returning("Hello!"), requests_per_minute=requests)
    clock.now += second

    assert [request(client).status_code for _ in range(requests)] == [200] * requests
    refusal = request(client)
    assert refusal.status_code == 429
    seconds = int(refusal.headers["retry-after"])
    assert 1 <= seconds <= 60
    assert f"in {seconds} s" in error_of(refusal)["message"]
    assert error_of(refusal)["param"] is None
    assert (refusal.headers[LIMIT], refusal.headers[REMAINING]) == (str(requests), "0")
    assert re.fullmatch(r"\d+ms|\d+(\.\d+)?s|\d+m\d+(\.\d+)?s", refusal.headers[RESET])

    clock.now += seconds
    assert request(client).status_code == 200


@pytest.mark.parametrize(
    ("second", "used", "reset"),
    [
        (0, 1, "1m0s"),
        (0.5, 1, "59.5s"),
        (0.5, 2, "1m29.5s"),
        (0.5, 4, "1m44.5s"),
        (45, 1, "15s"),
        (58.5, 1, "1.5s"),
        (59.94, 1, "60ms"),
    ],
)
def test_all_requests_are_left_again_after_the_time_of_the_reset_as_openai_writes_it(
    serve: Serve, clock: Clock, second: float, used: int, reset: str
) -> None:
    client = serve(returning("Hello!"), requests_per_minute=5)
    clock.now += second
    shown = [request(client).headers[RESET] for _ in range(used)][-1]

    assert shown == reset
    units = {"m": 60, "s": 1, "ms": 0.001}
    clock.now += sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|m|s)", reset)) + 0.001
    assert left_at(client) == "4"


def test_windows_slide_so_that_a_minute_grants_no_more_than_its_limit(serve: Serve, clock: Clock) -> None:
    client = serve(returning("Hello!"), requests_per_minute=10)

    def granted() -> int:
        return [request(client).status_code for _ in range(12)].count(200)

    clock.now += 59
    assert granted() == 10
    for seconds, more in ((2, 1), (4, 0), (2, 1), (24, 4), (600, 10)):
        clock.now += seconds
        assert granted() == more


def test_errors_count_too_and_say_what_is_left(serve: Serve) -> None:
    client = serve(returning("Hello!"), requests_per_minute=10)

    failed = [ask(client, model="nope"), ask(client, n="two"), client.post("/v1/chat/completions", content=b"{")]

    assert [response.status_code for response in failed] == [404, 400, 400]
    assert [response.headers[REMAINING] for response in failed] == ["9", "8", "7"]


def test_a_wrong_key_uses_no_request_and_gets_no_headers_of_limits(serve: Serve) -> None:
    client = serve(returning("Hello!"), api_keys=Keys.parse("right"), requests_per_minute=1)

    for _ in range(3):
        response = request(client, "wrong")
        assert (response.status_code, LIMIT in response.headers) == (401, False)
    assert request(client, "right").status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:DB8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("made up", "made up too", True),  # by a proxy that passes anything on
    ],
)
async def test_without_keys_each_address_has_its_limit_whatever_its_port_and_its_headers(
    first: str, second: str, is_same: bool
) -> None:
    application = create_app(settings=Settings(requests_per_minute=1), pipelines=Pipelines())
    headers = {"x-forwarded-for": "192.0.2.9", "authorization": "Bearer mine"}

    for address, port, status in ((first, 1, 200), (second, 2, 429 if is_same else 200)):
        async with async_client_of(application, address, port) as client:
            assert (await client.get("/v1/models", headers=headers if port == 2 else {})).status_code == status


@pytest.mark.parametrize(
    ("trusted", "statuses"),
    [({}, [200, 200, 429, 200, 429]), ({"FORWARDED_ALLOW_IPS": "none"}, [200, 429, 429, 429, 429])],
    ids=["a proxy on this machine", "no proxy"],
)
def test_an_address_is_taken_from_a_header_only_of_a_proxy_that_the_environment_names(
    tmp_path: Path, trusted: dict[str, str], statuses: list[int]
) -> None:
    forwarded = ["192.0.2.1", "192.0.2.2", "192.0.2.8, 192.0.2.1", "forged", "forged too"]
    with Server(tmp_path / "log", REQUESTS_PER_MINUTE="1", **trusted) as server:
        models = f"{server.url}/v1/models"
        until(lambda: time.time_ns() // 10**9 % 60 < 50)  # the server's own time
        answers = [httpx.get(models, headers={"x-forwarded-for": address}) for address in forwarded]
    assert [answer.status_code for answer in answers] == statuses


@pytest.mark.parametrize(
    ("path", "status", "limit"),
    [("/health", 200, 1), ("/metrics", 200, 1), ("/made-up", 404, 1), ("/v1/models", 200, 0)],
)
def test_probes_metrics_and_unknown_paths_use_up_no_requests_and_nothing_does_by_default(
    serve: Serve, path: str, status: int, limit: int
) -> None:
    client = serve(returning("Hello!"), requests_per_minute=limit, metrics=True)

    responses = [client.get(path) for _ in range(3)]
    assert client.get("/v1/models").status_code == 200
    assert [response.status_code for response in responses] == [status] * 3
    assert not [response for response in responses if LIMIT in response.headers]


@pytest.mark.parametrize("url", ["localhost", "http://:password@localhost", "redis://:password#@localhost"])
def test_a_url_that_is_none_of_redis_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^REDIS_URL is no address") as caught:
        create_app(settings=Settings.load({"REQUESTS_PER_MINUTE": "1", "REDIS_URL": url}))

    assert "password" not in caught.value.message


def test_redis_is_no_dependency_until_its_setting_asks_for_it() -> None:
    code = [sys.executable, "-c", WITHOUT_REDIS]
    done = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter

    assert done.stdout == "REDIS_URL needs the extra `redis`: uv run --extra redis litestar run.\n"


# Below, Redis may take its time to answer, so that no test depends on how busy the machine is.


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.limits.plugin, "TIMEOUT", PATIENCE)


@pytest.fixture
def redis(patient: None) -> Iterator[Redis]:
    with Redis() as running:
        yield running


@needs_redis
def test_servers_that_share_a_redis_count_a_key_together(
    serve: Serve, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    keys = Keys.parse("one,two")
    first, second = (
        serve(returning("Hello!"), api_keys=keys, requests_per_minute=2, redis_url=redis.url) for _ in range(2)
    )

    for key in ("one", "two"):
        statuses = [request(client, key).status_code for client in (first, second, first, second)]
        assert statuses == [200, 200, 429, 429]
    assert UNREACHABLE not in caplog.text


@needs_redis
def test_a_new_caller_waits_for_the_whole_window_of_redis(serve: Serve, redis: Redis) -> None:
    keys = Keys.parse(",".join("abcdefgh"))
    client = serve(returning("Hello!"), api_keys=keys, requests_per_minute=1, redis_url=redis.url)

    for key in "abcdefgh":
        start = time.monotonic()
        granted, refused = request(client, key), request(client, key)
        assert (granted.status_code, refused.status_code) == (200, 429)
        assert start + 59 - time.monotonic() <= int(refused.headers["retry-after"]) <= 60


@needs_redis
@pytest.mark.anyio
async def test_many_requests_at_once_wait_for_a_connection_to_redis(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(requests_per_minute=40, redis_url=Secret(redis.url))
    application = create_app(settings=settings, pipelines=Pipelines())
    async with application.lifespan(), async_client_of(application) as client:
        responses = await asyncio.gather(*(client.get("/v1/models") for _ in range(200)))

    counts = Counter(response.status_code for response in responses)
    assert counts.keys() == {200, 429}
    assert 40 <= counts[200] < 2 * 40  # counted once: a second count, in memory, would grant as many again
    assert UNREACHABLE not in caplog.text


@needs_redis
def test_a_server_reconnects_to_its_redis_and_counts_for_itself_while_there_is_none(
    serve: Serve, patient: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock, port = Clock(), free_port()
    monkeypatch.setattr(app.limits.rates, "time", SimpleNamespace(monotonic=clock))
    client = serve(returning("Hello!"), requests_per_minute=3, redis_url=f"redis://127.0.0.1:{port}")

    for _ in range(2):  # the second time, the connection has died
        with Redis(port):
            assert left_at(client) == "2"
    assert UNREACHABLE not in caplog.text
    assert [left_at(client) for _ in range(3)] == ["2", "1", "0"]
    clock.now += 60
    assert request(client).status_code == 429
    with Redis(port):
        assert request(client).status_code == 429
        clock.now += 60
        assert [left_at(client) for _ in range(2)] == ["2", "1"]
    said = [record.getMessage().partition(",")[0] for record in caplog.records if record.name == "app.limits"]
    assert said == [UNREACHABLE, "Redis answers again"]


@pytest.mark.parametrize("listens", [False, True], ids=["refuses", "never answers"])
def test_a_redis_that_does_not_answer_stops_no_request_and_its_password_is_not_logged(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, listens: bool
) -> None:
    monkeypatch.setattr(app.limits.plugin, "TIMEOUT", 0.1)
    with socket.socket() as silent, caplog.at_level(logging.DEBUG):
        silent.bind(("127.0.0.1", 0))
        if listens:
            silent.listen()
        url = f"redis://:hunter2@127.0.0.1:{silent.getsockname()[1]}"
        client = serve(returning("Hello!"), requests_per_minute=2, redis_url=url)
        statuses = [request(client).status_code for _ in range(3)]

    assert statuses == [200, 200, 429]
    assert UNREACHABLE in caplog.text
    assert "hunter2" not in caplog.text
