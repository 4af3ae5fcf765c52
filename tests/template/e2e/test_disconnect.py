"""Clients that leave: their completions stop, or run on if they are to, and nothing is left of them in the server."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest

from tests.conftest import until
from tests.template.e2e.connection import PATH, Connection, chat
from tests.template.e2e.server import Server

CLIENTS = 48
STOPPED = ["endless-async-generator", "endless-generator", "late-async-generator", "gated-async-function"]
STOPPED += ["held-generator", "blocking-function", "hog"]
BLOCKED = {"gated-generator": ["started", "blocked"], "late-generator": ["started"]}
FAITHFUL = ["faithful-async-generator", "faithful-generator", "faithful-async-function", "faithful-hog"]
EITHER = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(autouse=True)
def leaves_nothing_behind(server: Server) -> Iterator[None]:
    """No task and no generator is left of what a test did."""
    server.wait_until_idle()
    yield
    server.wait_until_idle()


def check_line(server: Server, key: str, model: str, *, stream: bool) -> None:
    """Check that the line of a request says that its client has left, which is no error."""
    (line,) = server.lines_of(key)
    assert (line["method"], line["path"], line["level"]) == ("POST", PATH, "INFO")
    assert (line["model"], line["stream"], line["ended"]) == (model, stream, "client_left")
    assert "error" not in line
    if model == "late-async-generator":  # whose client left before the first item
        assert (line["status"], line.get("chunks")) == (499, 0 if stream else None)


@EITHER
@pytest.mark.parametrize("model", STOPPED)
def test_a_model_is_stopped_when_its_client_leaves(server: Server, key: str, model: str, stream: bool) -> None:
    server.ask_and_leave(model, key, stream=stream)

    events = server.wait_for(key, "closed")
    assert [event for event in events if event != "finished"] == ["started", "closed"]
    assert ("finished" in events) is (model == "blocking-function")  # which was told, and returned
    check_line(server, key, model, stream=stream)


def test_an_async_generator_that_waits_between_items_may_await_while_it_is_closed(server: Server, key: str) -> None:
    with Connection(server.port) as connection:
        connection.post(chat("gated-async-generator", key, stream=True))
        connection.read_until(b'"first"')

    assert server.wait_for(key, "closed") == ["started", "closed"]


@EITHER
@pytest.mark.parametrize("model", BLOCKED)
def test_a_blocked_generator_is_closed_as_soon_as_it_goes_on(
    server: Server, key: str, model: str, stream: bool
) -> None:
    with Connection(server.port) as connection:
        connection.post(chat(model, key, stream=stream), request_id=key)
        server.wait_for(key, BLOCKED[model][-1])

    check_line(server, key, model, stream=stream)
    assert server.events(key) == BLOCKED[model]
    server.open_gate(key)
    assert server.wait_for(key, "closed") == [*BLOCKED[model], "closed"]


def test_a_function_that_ignores_its_cancellation_does_not_hold_the_request(server: Server, key: str) -> None:
    server.ask_and_leave("stubborn-function", key, stream=False)

    check_line(server, key, "stubborn-function", stream=False)
    assert server.wait_for(key, "cancelled")[-1] == "cancelled"
    server.open_gate(key)
    server.wait_for(key, "closed")


@pytest.mark.parametrize("model", ["flood", "async-flood"])
def test_a_generator_whose_reader_stalled_is_closed_when_that_leaves(server: Server, key: str, model: str) -> None:
    with Connection(server.port, receive_buffer=65536) as connection:
        connection.post(chat(model, key, stream=True))
        connection.read_until(b"xxx")

    assert server.wait_for(key, "closed") == ["closed"]


@EITHER
def test_others_are_served_while_a_generator_never_awaits(server: Server, key: str, stream: bool) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(Connection(server.port))
            connection.post(chat("hog", key, stream=stream))
        server.wait_for(key, "started", times=5)
        for _ in range(5):
            assert server.models()
            if stream:
                connection.skip()  # so that one of them has room to go on
        assert server.events(key) == ["started"] * 5

    assert server.wait_for(key, "closed", times=5) == ["started"] * 5 + ["closed"] * 5


@EITHER
@pytest.mark.parametrize("model", FAITHFUL)
def test_a_model_that_outlives_its_client_runs_to_its_end(server: Server, key: str, model: str, stream: bool) -> None:
    server.ask_and_leave(model, key, stream=stream)

    seen = server.items(key)
    until(lambda: server.items(key), lambda items: items > seen + 30)
    for _ in range(5):
        assert server.models()
    assert server.events(key) == ["started"]
    server.open_gate(key)
    assert server.wait_for(key, "closed") == ["started", "finished", "closed"]
    if model == "faithful-generator":
        check_line(server, key, model, stream=stream)


def test_nothing_is_left_of_many_clients_that_leave_at_once(server: Server, key: str) -> None:
    before = server.census()
    with ExitStack() as stack:
        for number in range(CLIENTS):
            connection = stack.enter_context(Connection(server.port))
            connection.post(chat(STOPPED[number % 4], key, stream=number % 8 < 4))
        server.wait_for(key, "started", times=CLIENTS)
        assert server.census()["files"] > CLIENTS

    assert Counter(server.wait_for(key, "closed", times=CLIENTS)) == {"started": CLIENTS, "closed": CLIENTS}
    server.wait_until_idle()
    until(server.census, lambda now: now["files"] <= before["files"])
    until(server.census, lambda now: now["threads"].items() <= before["threads"].items())


def test_nothing_is_left_of_clients_that_leave_as_soon_as_they_have_asked(server: Server) -> None:
    for number in range(CLIENTS):
        with Connection(server.port) as connection:
            connection.post(chat(STOPPED[number % 5], uuid4().hex, stream=number % 2 == 0))
