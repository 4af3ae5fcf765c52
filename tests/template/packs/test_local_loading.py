"""Pack `local`: loading and closing the model, and what may happen meanwhile."""

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("xllamacpp", reason="needs the extra `local`")

from openai import InternalServerError

from app.local.model import LocalModel, to_request
from app.services import Messages
from tests.conftest import PATIENCE, ROOT, live
from tests.template.e2e.connection import says
from tests.template.e2e.server import Server

STORY: Messages = [{"role": "user", "content": "Write a long story about a dragon."}]
ENDS_WHILE_IT_LOADS = """
from litestar.testing import TestClient
from app.app import create_app
with TestClient(create_app()):
    pass
"""


def test_two_event_loops_that_start_it_at_the_same_time_load_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LocalModel("model.gguf")
    loaded: list[str] = []

    def load(path: str) -> object:
        loaded.append(path)
        time.sleep(0.1)  # in which the other could load it too
        return object()

    async def start() -> None:
        await asyncio.gather(model.start(), model.start())

    monkeypatch.setattr("app.local.model._start_server", load)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: asyncio.run(start()), range(2)))

    assert loaded == ["model.gguf"]


def test_other_requests_are_answered_while_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    loading, gate = threading.Event(), threading.Event()
    opened: list[bool] = []

    def load(path: str) -> object:
        loading.set()
        opened.append(gate.wait(PATIENCE))
        raise RuntimeError("It is not loaded in this test.")

    monkeypatch.setattr("app.local.model._start_server", load)
    with live(LocalModel()) as client, ThreadPoolExecutor(1) as threads:
        answer = threads.submit(client.chat.completions.create, model="test", messages=says("Hello!"))
        assert loading.wait(PATIENCE)
        assert client.models.list().data
        gate.set()
        assert isinstance(answer.exception(), InternalServerError)

    assert opened == [True]


def test_it_may_be_closed_started_again_and_closed_while_it_answers() -> None:
    model = LocalModel()
    asyncio.run(model.start())
    port = int(model._server.listening_address.rpartition(":")[2])
    model.close()

    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass
    with pytest.raises(RuntimeError, match="not loaded"):
        model.generate(to_request(STORY, {}), bool)

    def close(item: object) -> bool:
        model.close()
        return True

    asyncio.run(model.start())
    with pytest.raises(RuntimeError, match="was closed while it answered"):
        model.generate(to_request(STORY, {}), close)


@pytest.mark.parametrize(("name", "fault"), [("none", "does not exist. Set"), ("broken", "could not be loaded")])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, name: str, fault: str) -> None:
    (tmp_path / "broken").write_bytes(b"GGUF but no more")

    with pytest.raises(RuntimeError, match=fault) as caught:
        asyncio.run(LocalModel(str(tmp_path / name)).start())
    assert str(tmp_path / name) in str(caught.value)


def test_a_process_may_end_while_the_model_loads() -> None:
    command = [sys.executable, "-c", ENDS_WHILE_IT_LOADS]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)  # noqa: S603 - our own code

    assert ended.returncode == 0, ended.stderr


def test_a_server_may_stop_while_it_answers(tmp_path: Path) -> None:
    with (
        Server(tmp_path / "log", SHUTDOWN_GRACE="0.1") as server,
        server.openai() as client,
        client.chat.completions.create(model="local", messages=says("Write a long story."), stream=True) as stream,
    ):
        next(stream)
        server.send(signal.SIGTERM)
        assert server.wait() == 0
