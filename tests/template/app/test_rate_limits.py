"""Rate limits on the wire: OpenAI's headers, and 429."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from httpx import Response
from litestar import get
from litestar.testing import TestClient

from app.app import create_app
from app.keys import Keys
from app.settings import Settings, SettingsError
from tests.conftest import Serve, ask, error_of, returning

ROOT = Path(__file__).parents[3]
LIMIT, REMAINING, RESET = (f"x-ratelimit-{name}-requests" for name in ("limit", "remaining", "reset"))
DURATION = re.compile(r"\d+ms|\d+(\.\d+)?s|\d+m\d+(\.\d+)?s")


def limits_of(response: Response) -> tuple[str, str]:
    """The limit and what remains of it, after a look at the time of the reset."""
    assert DURATION.fullmatch(response.headers[RESET]), response.headers[RESET]
    return response.headers[LIMIT], response.headers[REMAINING]


def refused(response: Response) -> bool:
    """Whether a response is the one to a caller who has sent too much."""
    if response.status_code != 429:
        return False
    error = error_of(response)
    assert (error["type"], error["param"], error["code"]) == ("rate_limit_error", None, "rate_limit_exceeded")
    assert limits_of(response)[1] == "0"
    assert f"in {int(response.headers['retry-after'])} s" in error["message"]
    return True


def bearing(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_a_caller_is_told_what_is_left_until_nothing_is(serve: Serve) -> None:
    client = serve(returning("Hello!"), requests_per_minute=3)

    responses = [ask(client), ask(client, stream=True), client.get("/v1/models")]

    assert [response.status_code for response in responses] == [200] * 3
    assert [limits_of(response) for response in responses] == [("3", "2"), ("3", "1"), ("3", "0")]
    assert refused(ask(client))


class Clock:
    """The time, which a test moves on."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock at the beginning of a minute."""
    clock = Clock(60.0 * 30_000_000)
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.mark.parametrize("requests", [1, 2, 60])
@pytest.mark.parametrize("second", [0.5, 21.5, 59.5])
def test_a_caller_that_waits_as_long_as_the_refusal_says_is_served(
    serve: Serve, clock: Clock, requests: int, second: float
) -> None:
    client = serve(returning("Hello!"), requests_per_minute=requests)
    clock.now += second
    granted = [client.get("/v1/models").status_code for _ in range(requests)]

    refusal = client.get("/v1/models")
    assert granted == [200] * requests
    assert refused(refusal)
    assert 1 <= int(refusal.headers["retry-after"]) <= 60

    clock.now += int(refusal.headers["retry-after"])
    assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    ("second", "reset"), [(0, "1m0s"), (0.5, "59.5s"), (45, "15s"), (58.5, "1.5s"), (59.94, "60ms")]
)
def test_the_time_of_the_reset_is_written_as_openai_does(serve: Serve, clock: Clock, second: float, reset: str) -> None:
    client = serve(returning("Hello!"), requests_per_minute=5)
    clock.now += second

    assert client.get("/v1/models").headers[RESET] == reset


@pytest.mark.parametrize(("used", "reset"), [(1, 59.5), (2, 89.5), (4, 104.5)])
def test_all_requests_are_left_again_after_the_time_of_the_reset(
    serve: Serve, clock: Clock, used: int, reset: float
) -> None:
    client = serve(returning("Hello!"), requests_per_minute=5)
    clock.now += 0.5
    shown = [client.get("/v1/models").headers[RESET] for _ in range(used)][-1]

    minutes, seconds = divmod(reset, 60)
    assert shown == (f"{minutes:g}m{seconds:g}s" if minutes else f"{seconds:g}s")
    clock.now += reset + 0.001
    assert client.get("/v1/models").headers[REMAINING] == "4"


def test_windows_slide_so_that_a_minute_grants_no_more_than_its_limit(serve: Serve, clock: Clock) -> None:
    client = serve(returning("Hello!"), requests_per_minute=10)

    def granted() -> int:
        return [client.get("/v1/models").status_code for _ in range(12)].count(200)

    clock.now += 59
    assert granted() == 10
    for seconds, more in ((2, 1), (4, 0), (2, 1), (24, 4), (600, 10)):
        clock.now += seconds
        assert granted() == more


def test_errors_count_too_and_say_what_is_left(serve: Serve) -> None:
    client = serve(returning("Hello!"), requests_per_minute=10)

    failed = [ask(client, model="nope"), ask(client, n="two"), client.post("/v1/chat/completions", content=b"{")]

    assert [limits_of(response)[1] for response in failed] == ["9", "8", "7"]
    assert [response.status_code for response in failed] == [404, 400, 400]


def test_each_key_has_a_limit_of_its_own(serve: Serve) -> None:
    client = serve(returning("Hello!"), api_keys=Keys.parse("first,second"), requests_per_minute=1)

    assert client.get("/v1/models", headers=bearing("first")).status_code == 200
    assert refused(client.get("/v1/models", headers=bearing("first")))
    assert client.get("/v1/models", headers=bearing("second")).status_code == 200


def test_a_wrong_key_spends_nothing_and_learns_nothing_of_limits(serve: Serve) -> None:
    client = serve(returning("Hello!"), api_keys=Keys.parse("first"), requests_per_minute=1)

    for _ in range(3):
        response = client.get("/v1/models", headers=bearing("third"))
        assert response.status_code == 401
        assert LIMIT not in response.headers
    assert client.get("/v1/models", headers=bearing("first")).status_code == 200


def test_without_keys_a_header_makes_nobody_another_caller(serve: Serve) -> None:
    client = serve(returning("Hello!"), requests_per_minute=1)

    assert client.get("/v1/models").status_code == 200
    assert refused(client.get("/v1/models", headers={"x-forwarded-for": "192.0.2.9", **bearing("mine")}))


def test_what_is_not_served_and_what_needs_no_key_have_no_limit() -> None:
    @get("/open", opt={"exclude_from_auth": True})
    async def open_to_all() -> str:
        return "Come in!"

    app = create_app(settings=Settings(requests_per_minute=1))
    app.register(open_to_all)
    with TestClient(app) as client:
        for path, status in (("/open", 200), ("/nothing", 404)):
            responses = [client.get(path) for _ in range(3)]
            assert [response.status_code for response in responses] == [status] * 3
            assert not [response for response in responses if LIMIT in response.headers]


def test_without_a_limit_nothing_is_said_of_one(serve: Serve) -> None:
    client = serve(returning("Hello!"))

    assert not [name for name in ask(client).headers if name.startswith("x-ratelimit")]


@pytest.mark.parametrize("url", ["localhost", "http://:password@localhost", "redis://:password#@localhost"])
def test_a_url_that_is_none_of_redis_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^REDIS_URL is no address") as caught:
        create_app(settings=Settings.load({"REQUESTS_PER_MINUTE": "1", "REDIS_URL": url}))

    assert "password" not in caught.value.message


def test_redis_is_no_dependency_until_it_is_asked_for() -> None:
    code = """
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
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter

    assert done.stdout == "REDIS_URL needs the extra `redis`: uv run --extra redis litestar run.\n"
