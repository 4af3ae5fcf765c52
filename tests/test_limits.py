"""Pack `limits`: requests a minute for each caller."""

import time

import pytest

from app.settings import Settings
from tests.conftest import Serve, ask, error_of, returning


@pytest.fixture(autouse=True)
def early_in_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a minute begin with the test, as the window slides when one ends."""
    now, late = time.time, time.time() % 60
    monkeypatch.setattr(time, "time", lambda: now() - late)


def test_a_caller_reads_what_is_left_and_gets_a_429_when_nothing_is(serve: Serve) -> None:
    client = serve(returning("Hello!"), requests_per_minute=2)

    responses = [ask(client), client.get("/v1/models"), ask(client, stream=True)]

    assert [response.status_code for response in responses] == [200, 200, 429]
    assert [response.headers["x-ratelimit-remaining-requests"] for response in responses] == ["1", "0", "0"]
    assert {response.headers["x-ratelimit-limit-requests"] for response in responses} == {"2"}
    assert 0 < int(responses[-1].headers["retry-after"]) <= 60
    error = error_of(responses[-1])
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert client.get("/health").status_code == 200


def test_each_key_is_counted_apart(serve: Serve) -> None:
    client = serve(returning("Hello!"), requests_per_minute=1, api_keys=Settings.load({"API_KEYS": "a,b"}).api_keys)
    for key, status in (("a", 200), ("b", 200), ("a", 429), ("wrong", 401), ("wrong", 401)):
        assert client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code == status
