"""The address on which the server listens."""

import errno
import os
import socket
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from click import ClickException

from app.web.origins import MAX_PORT


def check_address(host: str, port: int, fd: int | None, uds: str | None) -> None:
    """Raise ClickException, whose sentence the command line prints, if the server cannot listen on its address.

    uvicorn would notice only when the application has started, and print the bare error or a traceback.
    """
    where, other = f"{host}, port {port}", "another port with --port"
    try:
        if uds is not None:
            where, other = uds, "another file with --uds"
            _listen_on_file(uds)
        elif fd is not None:
            where, other = f"file descriptor {fd}", "that of a socket with --fd"
            _inherited(fd).close()
        else:
            _listen(host, port)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            other = "an address of this machine with --host, e.g. 127.0.0.1, or 0.0.0.0 for all"
        do = "Stop the program that does, or choose" if error.errno == errno.EADDRINUSE else "Choose"
        reason = str(error.strerror or error).partition(" (")[0]
        raise ClickException(f"The server cannot listen on {where}: {reason}. {do} {other}.") from None


def exposed_host(host: str, fd: int | None, uds: str | None) -> str | None:
    """Return the host on which the server listens if other machines may reach it, or None."""
    if uds is not None:
        return None
    if fd is not None:
        with _inherited(fd) as inherited:
            if inherited.family == socket.AF_UNIX:
                return None
            host = str(inherited.getsockname()[0])
    with suppress(ValueError):
        return None if ip_address(host).is_loopback else host
    return None if host == "localhost" else host


def _listen(host: str, port: int) -> None:
    if not 0 <= port <= MAX_PORT:
        raise OSError(errno.EINVAL, f"A port is a number up to {MAX_PORT}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # two dots in a row, or a name that is too long
        raise socket.gaierror(socket.EAI_NONAME, "It is no name of a host") from None
    for family, *_, address in found:
        if family != socket.AF_INET6 or socket.has_dualstack_ipv6():  # else uvicorn leaves the address out too
            socket.create_server(address, family=family).close()


def _listen_on_file(path: str) -> None:
    file = Path(path)
    with socket.socket(socket.AF_UNIX) as probe:
        if file.is_socket() and probe.connect_ex(path) == errno.ECONNREFUSED:
            file.unlink()  # of a server that was killed
        probe.bind(path)
    file.unlink()


def _inherited(fd: int) -> socket.socket:
    return socket.socket(fileno=os.dup(fd))
