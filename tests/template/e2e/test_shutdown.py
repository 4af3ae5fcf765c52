import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from openai import APIError, OpenAI

from tests.template.e2e.clients import client_of, says
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.server import Server

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture
def ending(tmp_path: Path) -> Iterator[Server]:
    """A server of its own, that a test may end."""
    with Server.with_own_models(tmp_path / "log") as server:
        yield server


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Server]:
    """One that gives completions no time to finish."""
    with Server.with_own_models(tmp_path / "log", SHUTDOWN_GRACE="0.1") as server:
        yield server


@pytest.fixture
def ending_client(ending: Server) -> Iterator[OpenAI]:
    """OpenAI's client of that server."""
    with client_of(ending) as client:
        yield client


@pytest.mark.parametrize("number", SIGNALS)
def test_a_stream_runs_to_its_end_after_the_signal(
    ending: Server, ending_client: OpenAI, number: signal.Signals
) -> None:
    stream = ending_client.chat.completions.create(model="brief", messages=says("Hello!"), stream=True)
    next(stream)

    ending.send(number)

    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text.split() == [str(number) for number in range(50)]
    assert ending.wait() == 0
    assert "Application shutdown complete" in ending.log


def test_streams_that_do_not_end_are_told_and_ended(hasty: Server) -> None:
    with client_of(hasty) as client:
        streams = [
            client.chat.completions.create(model=model, messages=says(model), stream=True)
            for model in ("endless-async-generator", "endless-generator", "gated-async-generator", "gated-generator")
        ]
        for stream in streams:
            next(stream)

        hasty.send(signal.SIGTERM)

        for stream in streams:
            with pytest.raises(APIError, match="shutting down") as caught:
                list(stream)
            assert (caught.value.type, caught.value.code) == ("server_error", "overloaded")
    assert hasty.wait() == 0


def test_clients_that_wait_for_their_answer_are_told_to_try_again(hasty: Server) -> None:
    models = ("gated-async-function", "blocking-function", "late-async-generator", "late-generator")
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(hasty.port)) for _ in models]
        for connection, model in zip(connections, models, strict=True):
            connection.post(chat(model, model))
            hasty.wait_for(model, "started")

        hasty.send(signal.SIGTERM)

        for connection in connections:
            head, _, body = connection.read_until(b"}}").partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: " in head
            assert json.loads(body)["error"]["code"] == "overloaded"
    assert hasty.wait() == 0
