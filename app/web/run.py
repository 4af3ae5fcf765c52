"""How `litestar run` serves: by our protocol, and to a graceful end."""

import asyncio
import math
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import uvicorn
import uvicorn.config
from click import Group, get_current_context
from litestar import Litestar
from litestar.plugins import CLIPlugin

from app.engine.engine import Engine
from app.engine.frames import encode
from app.settings import Settings
from app.web.logs import logging_config

__all__ = ["Serving", "drain_on_signal", "running_server"]

PROTOCOL = "app.web.http:Protocol"
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


def running_server() -> uvicorn.Server | None:
    """The server of this process, by the signal that ends it, if it is uvicorn's."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, uvicorn.Server) else None


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
    server = running_server()
    if server is not None:  # else it would wait for ever for what no longer answers
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


def _pass_on(number: int, frame: FrameType | None) -> None:
    """Pass a signal on to the child that serves, if one does."""
    with suppress(OSError):  # not Linux, or no child
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
        for child in children.split():
            os.kill(int(child), number)
