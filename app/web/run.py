"""The `run` command: Litestar's own, with the application's settings for uvicorn's logs, HTTP and shutdown."""

import atexit
import logging
import math
import os
import signal
import sys
from copy import copy
from threading import Timer
from types import FrameType

import uvicorn
from click import Group
from litestar.cli._utils import (  # as the plugins of other servers do: there is no public way
    LitestarEnv,
    create_ssl_files,
    isatty,
    show_app_info,
    validate_ssl_file_paths,
)
from litestar.cli.commands.core import _server_lifespan
from litestar.plugins import CLIPlugin

from app.settings import Settings, ignored_variables
from app.web.address import check_address, exposed_host
from app.web.logs import configure_logging, logging_config

HTTP = "app.web.http:Http"
WORKER_PATIENCE = 60  # seconds until a worker that does not answer is killed; one that imports much is busy at first
WEBSOCKET = "app.web.websocket:WebSocket"
CLOSING_LIMIT = 4  # seconds after the grace in which clients that read slowly can receive the end of their answers
ENDING_TIME = 5  # seconds after the shutdown in which the process ends by itself, unless something goes on

logger = logging.getLogger("app.run")


class RunCommand(CLIPlugin):
    """Litestar plugin that replaces the command `litestar run`, and keeps its options."""

    def on_cli_init(self, cli: Group) -> None:
        """Add the command."""
        command = copy(cli.commands["run"])
        command.callback = run
        cli.add_command(command)


def run(
    env: LitestarEnv,
    *,
    host: str,
    port: int,
    fd: int | None,
    uds: str | None,
    wc: int,
    reload: bool,
    reload_dir: tuple[str, ...],
    reload_include: tuple[str, ...],
    reload_exclude: tuple[str, ...],
    debug: bool,
    pdb: bool,
    ssl_certfile: str | None,
    ssl_keyfile: str | None,
    create_self_signed_cert: bool,
) -> None:
    """Serve the application with uvicorn.

    Its completions are stopped by `app.web.http.Http`, once uvicorn begins to shut down.
    """
    settings: Settings = env.app.state.settings
    if debug:
        env.app.debug = True
        os.environ["LITESTAR_DEBUG"] = "1"  # for the applications that uvicorn makes
    if pdb:
        env.app.pdb_on_exception = True
        os.environ["LITESTAR_PDB"] = "1"
    certificate, key = (
        create_ssl_files(ssl_certfile, ssl_keyfile, host)
        if create_self_signed_cert
        else validate_ssl_file_paths(ssl_certfile, ssl_keyfile)
    )
    configure_logging(settings.log_level, settings.log_format)
    for sentence in ignored_variables():
        logger.warning(sentence)
    check_address(host, port, fd, uds)
    if not settings.keys and (exposed := exposed_host(host, fd, uds)):
        logger.warning("No API_KEYS are set, and the server listens on %s: anyone who reaches it may use it.", exposed)
    if isatty() and not os.getenv("LITESTAR_QUIET_CONSOLE"):
        show_app_info(env.app)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)  # uvicorn raises it again when it has stopped
    with _server_lifespan(env.app):
        uvicorn.run(
            env.app_path,
            factory=env.is_app_factory,
            app_dir=str(env.cwd),
            host=host,
            port=port,
            fd=fd,
            uds=uds,
            workers=wc,
            timeout_worker_healthcheck=WORKER_PATIENCE,
            reload=reload or any((reload_dir, reload_include, reload_exclude)),
            reload_dirs=list(reload_dir) or None,
            reload_includes=list(reload_include) or None,
            reload_excludes=list(reload_exclude) or None,
            ssl_certfile=certificate,
            ssl_keyfile=key,
            http=HTTP,
            ws=WEBSOCKET,
            ws_max_size=settings.max_body_size or sys.maxsize,
            ws_ping_timeout=settings.write_timeout or None,
            log_config=logging_config(settings.log_level, settings.log_format),
            timeout_graceful_shutdown=math.ceil(settings.shutdown_grace) + CLOSING_LIMIT,
        )


def _end(number: int, frame: FrameType | None) -> None:
    """End the process without an error, by force if a model's task or thread keeps it alive."""
    timer = Timer(ENDING_TIME, _end_by_force)
    timer.daemon = True  # so that it does not keep the process alive itself
    timer.start()
    atexit.register(timer.cancel)  # no task or thread is left by then, and the last spans may take longer
    sys.exit()


def _end_by_force() -> None:
    logger.warning("The process is ended by force, as something goes on %s s after the shutdown.", ENDING_TIME)
    os._exit(0)
