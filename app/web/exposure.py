"""The warning that anybody may use the server."""

import logging
import multiprocessing
import os
import socket
from ipaddress import ip_address

import uvicorn

from app.web.run import running_server

__all__ = ["warn_if_exposed"]

logger = logging.getLogger("app.web.exposure")

FIRST = ("MainProcess", "SpawnProcess-1")  # of several workers, and of those that a reload starts, one is enough


def warn_if_exposed() -> None:
    """Say so if the server, which has no keys, can be reached from elsewhere."""
    server = running_server()
    if server is None or multiprocessing.current_process().name not in FIRST:
        return
    host = _host_of(server.config)
    if host is not None and not _is_loopback(host):
        logger.warning("No API_KEYS are set, and the server listens on %s: whoever reaches it may use it.", host)


def _host_of(config: uvicorn.Config) -> str | None:
    """Where the server listens; None for a socket that is no address."""
    if config.uds is not None:
        return None
    if config.fd is None:
        return config.host
    with socket.socket(fileno=os.dup(config.fd)) as inherited:
        return None if inherited.family == socket.AF_UNIX else str(inherited.getsockname()[0])


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
