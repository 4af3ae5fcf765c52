"""How `litestar run` serves: it ends gracefully, and cuts connections that send no complete request."""

import asyncio
import math
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import uvicorn
import uvicorn.config
from click import Group, get_current_context
from litestar import Litestar
from litestar.plugins import CLIPlugin
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.completions.engine import Engine
from app.completions.wire import encode
from app.errors import InvalidRequestError
from app.logs import logging_config
from app.settings import Settings

__all__ = ["Protocol", "Serving", "drain_on_signal"]

PROTOCOL = f"{__name__}:Protocol"
CLOSING_TIME = 0.5  # seconds after the grace that a client gets to take the end of its answer
RELOADING = ("reload", "reload_dir", "reload_include", "reload_exclude")
STOPPING = (signal.SIGINT, signal.SIGTERM)


class Serving(CLIPlugin):
    """What surrounds the server in the process of the command line.

    Args:
        settings: how it logs.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def on_cli_init(self, cli: Group) -> None:
        """Add no commands."""
        return

    @contextmanager
    def server_lifespan(self, app: Litestar) -> Iterator[None]:
        """Serve by our protocol, and exit with 0 on SIGTERM.

        uvicorn raises the signal once more when it has ended, which would kill the process; and
        with several workers it runs in a child that the signal would never reach.
        """
        uvicorn.config.HTTP_PROTOCOLS["auto"] = PROTOCOL
        os.environ.setdefault("UVICORN_HTTP", PROTOCOL)  # for a child
        before = signal.signal(signal.SIGTERM, _pass_on)
        try:
            config = logging_config(self._settings.log_level, self._settings.log_format)
            uvicorn.config.LOGGING_CONFIG.clear()
            uvicorn.config.LOGGING_CONFIG.update(config)  # so that it logs as we do, from its first line on
            with _folder_of_children(config) if _has_children() else nullcontext():
                yield
        finally:
            signal.signal(signal.SIGTERM, before)


def _has_children() -> bool:
    """Whether other processes are to serve: several workers, or one that is started again and again."""
    context = get_current_context(silent=True)
    options = {} if context is None else context.params
    return options.get("wc", 1) > 1 or any(options.get(name) for name in RELOADING)


@contextmanager
def _folder_of_children(logging: object) -> Iterator[None]:
    """Where children read how to log, and keep the figures that they share."""
    with TemporaryDirectory(prefix="litestar-") as folder:
        file = Path(folder, "logging.json")
        file.write_bytes(encode(logging))
        os.environ.setdefault("UVICORN_LOG_CONFIG", str(file))
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", folder)
        yield


@contextmanager
def drain_on_signal(engine: Engine, grace: float) -> Iterator[None]:
    """Drain the engine as soon as the server is told to stop.

    Args:
        engine: refuses new completions from then on.
        grace: seconds that those at work may take to finish.
    """
    if threading.current_thread() is not threading.main_thread():  # as in a test: no signal comes here
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in STOPPING}
    server = getattr(before[signal.SIGTERM], "__self__", None)
    if isinstance(server, uvicorn.Server):  # else it would wait for ever for what no longer answers
        server.config.timeout_graceful_shutdown = math.ceil(grace) + 1

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(engine.drain, grace)
        if callable(handler := before[signal.Signals(number)]):
            handler(number, frame)

    for number in STOPPING:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Protocol(HttpToolsProtocol):
    """uvicorn's, with a deadline for a request to be complete, and errors in OpenAI's form."""

    _deadline: asyncio.TimerHandle | None = None
    _complete = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Wait for a request."""
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._complete = True
        self._set_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of the request, if it is not complete."""
        if self.cycle is not None and self.cycle.response_complete:
            self._complete = False  # even an empty line, which begins no message, ends uvicorn's wait for the next
        super().data_received(data)
        self._set_deadline()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._complete = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """All of a request is there."""
        self._complete = True
        super().on_message_complete()

    def shutdown(self) -> None:
        """Let the client have the end of its answer, and no longer than that."""
        super().shutdown()
        self.loop.call_later(_settings().shutdown_grace + CLOSING_TIME, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP; in the middle of an answer, only by its end."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            return
        body = encode(InvalidRequestError(msg).to_response())
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self.transport.close()

    def _should_upgrade(self) -> bool:
        return False  # there is no WebSocket here: such a request is answered as if it had not asked

    def _set_deadline(self) -> None:
        if self._complete and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        elif not self._complete and self._deadline is None:
            self._deadline = self.loop.call_later(_settings().request_timeout, self.transport.close)


@cache
def _settings() -> Settings:
    return Settings.load()  # uvicorn makes the protocol: nobody could hand it the settings


def _pass_on(number: int, frame: FrameType | None) -> None:
    """Pass a signal on to the child that serves, if one does."""
    with suppress(OSError):  # not Linux, or no child
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
        for child in children.split():
            os.kill(int(child), number)
