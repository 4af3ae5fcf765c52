"""A server in a process of its own, started the way a person starts it."""

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
from dotenv import dotenv_values

from tests.conftest import PATIENCE, ROOT
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.journal import Census
from tests.template.e2e.patience import eventually

__all__ = ["MISHAPS", "SERVING", "Server", "environment", "free_port", "litestar"]

SERVING = "tests.template.e2e.serving:create_app"
DEFAULTS = {name: value or "" for name, value in dotenv_values(ROOT / ".env.example").items()}
MISHAPS = ("Exception in ASGI", "never retrieved", "was never awaited", "was destroyed", "Exception ignored")


def litestar(*options: str) -> list[str]:
    return [sys.executable, "-m", "litestar", *options]


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment with these settings; an `.env` file adds those that are empty by default."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LITESTAR_")}
    return inherited | DEFAULTS | dict(settings or {}) | {"PYTHONUNBUFFERED": "1"}


class Server:
    """A running server, which must end without an error or a mishap in its log.

    Args:
        log: The file that its output goes to.
        app: Where to find the application; by default the project's own.
        settings: Environment variables.
        workers: The number of processes that serve; each has a journal of its own.
        options: More options of `litestar run`.
        files: Open files that the process inherits.
    """

    folder = ROOT  # where it is started
    patience = PATIENCE  # seconds until it must answer

    def __init__(
        self,
        log: Path,
        *,
        app: str | None = None,
        settings: Mapping[str, str] | None = None,
        workers: int = 1,
        options: Sequence[str] = (),
        files: Sequence[int] = (),
    ) -> None:
        self.workers = workers
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._has_journal = app == SERVING
        self._http = httpx.Client(base_url=self.url, timeout=PATIENCE)
        self._idle: Census | None = None
        flags = ["--app", app] if app else []
        options = [*options, *(["--wc", str(workers)] if workers > 1 else [])]
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                self._command(*flags, "run", "--port", str(self.port), *options),
                cwd=self.folder,
                env=environment(settings),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=files,
            )

    @classmethod
    def with_own_models(cls, log: Path, workers: int = 1, /, **settings: str) -> Self:
        """Start a server with the models of the tests and the routes of the journal."""
        return cls(log, app=SERVING, settings=settings, workers=workers)

    def __enter__(self) -> Self:
        try:
            eventually(self._answers, bool, self.patience)
            self._idle = self.census() if self._has_journal else None
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.send(signal.SIGTERM)
            code = self.wait()
        finally:
            self.kill()
        assert code == 0, self.log
        assert not [mishap for mishap in MISHAPS if mishap in self.log], self.log

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait until the process ends, and return its exit code."""
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        """Kill the process and those that it has started."""
        self._http.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The complete lines of its log, each of which is JSON."""
        return [msgspec.json.decode(line) for line in self.log.splitlines(keepends=True) if line.endswith("\n")]

    def lines_of(self, request_id: str, logger: str = "app.requests") -> list[dict[str, Any]]:
        """Wait for lines that a logger writes about a request; the default one does when the request has ended."""
        wanted = {"logger": logger, "request_id": request_id}
        return eventually(lambda: [line for line in self.lines if wanted.items() <= line.items()], bool)

    def wait_for_log(self, text: str) -> str:
        return eventually(lambda: self.log, lambda log: text in log)

    def wait_until_it_shuts_down(self) -> None:
        """Wait until each worker has begun to shut down."""
        eventually(lambda: self.log.count("Shutting down"), lambda begun: begun >= self.workers)

    def events(self, key: str) -> list[str]:
        return msgspec.json.decode(self._get(f"/journal/{key}/events"), type=list[str])

    def wait_for(self, key: str, event: str) -> list[str]:
        """Wait for an event of a run, and return all of them."""
        return eventually(lambda: self.events(key), lambda events: event in events)

    def items(self, key: str) -> int:
        return msgspec.json.decode(self._get(f"/journal/{key}/items"), type=int)

    def open_gate(self, key: str) -> None:
        self._http.post(f"/journal/{key}/gate").raise_for_status()

    def ask_and_leave(self, model: str, key: str, *, stream: bool) -> None:
        """Ask, wait until the model has started, and leave."""
        with Connection(self.port) as connection:
            connection.post(chat(model, key, stream=stream), request_id=key)
            self.wait_for(key, "started")

    def census(self) -> Census:
        return msgspec.json.decode(self._get("/journal"), type=Census)

    def wait_until_idle(self) -> None:
        """Wait until no task and no generator lives that did not before the first request."""
        assert self._idle is not None
        idle = Counter(self._idle.tasks), Counter(self._idle.generators)
        eventually(self.census, lambda now: Counter(now.tasks) <= idle[0] and Counter(now.generators) <= idle[1])

    def models(self) -> list[Any]:
        models: list[Any] = msgspec.json.decode(self._get("/v1/models"))["data"]
        return models

    def _command(self, *options: str) -> list[str]:
        return litestar(*options)

    def _get(self, path: str) -> bytes:
        return self._http.get(path).raise_for_status().content

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log
        try:
            return self._http.get("/health").is_success  # which is in no log, metric or trace
        except httpx.TransportError:
            return False


def free_port() -> int:
    """Return a port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
