"""A server in a process of its own, started the way a person starts it."""

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
from dotenv import dotenv_values
from openai import OpenAI

from schemas.chat import Json
from tests.conftest import PATIENCE, ROOT, until
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.redis import free_port

SERVING = "tests.template.e2e.serving:create_app"
DEFAULTS = {name: value or "" for name, value in dotenv_values(ROOT / ".env.example").items()}
MISHAPS = ("Exception in ASGI", "never retrieved", "was never awaited", "was destroyed", "Exception ignored")


def litestar(*options: str) -> list[str]:
    return [sys.executable, "-m", "litestar", *options]


def environment(**settings: str) -> dict[str, str]:
    """Return the environment with these settings; an `.env` file adds those that are empty by default."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LITESTAR_")}
    return inherited | DEFAULTS | settings | {"PYTHONUNBUFFERED": "1"}


class Server:
    """A server of the project's application or another, which must end without an error or a mishap in its log."""

    folder = ROOT  # where it is started
    patience = PATIENCE  # seconds until it must have started
    started = "Uvicorn running on "

    def __init__(self, log: Path, *options: str, app: str | None = None, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        listening = httpx.HTTPTransport(retries=8)  # as workers listen some time after their parent says so
        self._http = httpx.Client(base_url=self.url, timeout=PATIENCE, transport=listening)
        self._has_journal = app == SERVING
        self._idle: Json = {}
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                self._command(*(["--app", app] if app else []), "run", "--port", str(self.port), *options),
                cwd=self.folder,
                env=environment(**settings),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=False,  # a test may let it inherit a socket
            )

    def __enter__(self) -> Self:
        try:
            until(lambda: self._process.poll() is not None or self.started in self.log, patience=self.patience)
            assert self._process.poll() is None, self.log
            self._idle = self.census() if self._has_journal else {}
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
        return self._process.wait(self.patience)

    def kill(self) -> None:
        """Kill the process and those that it has started."""
        self._http.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)

    def openai(self) -> OpenAI:
        """Return OpenAI's client of it, which does not try again."""
        return OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=PATIENCE)

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def lines(self) -> list[Json]:
        """The complete lines of its log, each of which is JSON."""
        return [msgspec.json.decode(line) for line in self.log.splitlines(keepends=True) if line.endswith("\n")]

    def lines_of(self, request_id: str) -> list[Json]:
        """Wait for the line of a request, which is written when it has ended."""
        wanted = {"logger": "app.requests", "request_id": request_id}
        return until(lambda: [line for line in self.lines if wanted.items() <= line.items()])

    def wait_for_log(self, text: str) -> None:
        until(lambda: self.log, lambda log: text in log)

    def get(self, path: str) -> Any:
        return self._http.get(path).raise_for_status().json()

    def models(self) -> list[Any]:
        return list(self.get("/v1/models")["data"])

    def events(self, key: str) -> list[str]:
        return list(self.get(f"/journal/{key}")["events"])

    def items(self, key: str) -> int:
        return int(self.get(f"/journal/{key}")["items"])

    def wait_for(self, key: str, event: str, *, times: int = 1) -> list[str]:
        """Wait until an event of a run has happened so many times, and return all of its events."""
        return until(lambda: self.events(key), lambda events: events.count(event) == times)

    def open_gate(self, key: str) -> None:
        self._http.post(f"/journal/{key}/gate").raise_for_status()

    def ask_and_leave(self, model: str, key: str, *, stream: bool) -> None:
        """Ask, wait until the model has started, and leave."""
        with Connection(self.port) as connection:
            connection.post(chat(model, key, stream=stream), request_id=key)
            self.wait_for(key, "started")

    def census(self) -> Json:
        """Return what lives in its process."""
        census: Json = self.get("/journal")
        return census

    def wait_until_idle(self) -> None:
        """Wait until no task and no generator lives that did not before the first request."""
        kinds = ("tasks", "generators")
        until(self.census, lambda now: all(Counter(now[kind]) <= Counter(self._idle[kind]) for kind in kinds))

    def _command(self, *options: str) -> list[str]:
        return litestar(*options)
