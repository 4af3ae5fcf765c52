"""Clients that leave as soon as they have asked: in whatever step their completion is at that moment."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.server import Server

MODELS = ["endless-async-generator", "endless-generator", "gated-async-function", "late-async-generator"]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, as what is left behind here would be found by every test that follows."""
    with Server.with_own_models(tmp_path_factory.mktemp("crowded") / "log") as running:
        yield running


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [*MODELS, "held-generator"])
def test_clients_that_leave_at_once_leave_nothing_behind(crowded: Server, model: str, stream: bool) -> None:
    for _ in range(10):
        with Connection(crowded.port) as connection:
            connection.post(chat(model, uuid4().hex, stream=stream))

    crowded.wait_until_idle()
