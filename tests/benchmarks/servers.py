"""The servers that are compared, each in a process of its own."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["BARE", "CONTESTANTS", "KEY", "OURS", "PEER", "ROOT", "Server", "free_port", "raise_file_limit", "serving"]

OURS, PEER, BARE = CONTESTANTS = ("ours", "peer", "bare")
ROOT = Path(__file__).parents[2]
PROTOCOLS = {OURS: "app.web.http:Http"}  # uvicorn's own, with deadlines; `litestar run` serves by it
PATIENCE = 30.0  # seconds until a server must answer
FILES = 4096  # open at once in a server of 2,000 streams, with room to spare
KEY = "benchmark"  # comes with each request, as a server in use has keys
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A running server; use it as a context.

    Args:
        name: which of the contestants it is.
        settings: our server's own, by their variables; the others have none.
        way: how its models are plugged in, if not in the fastest way: see `ours.py` and `peer.py`.
        logs: whether it logs each request; where that goes nobody reads.
    """

    def __init__(self, name: str, *, settings: Mapping[str, str], way: str = "", logs: bool = False) -> None:
        self.name = name
        self.port = free_port()
        protocol = PROTOCOLS.get(name, "httptools")
        command = f"-m uvicorn tests.benchmarks.{name}:app --port {self.port} --loop uvloop --http {protocol}"
        quiet = ["--no-access-log", "--log-level", "warning"]
        self._process = subprocess.Popen(
            [sys.executable, *command.split(), *([] if logs and name != OURS else quiet)],
            cwd=ROOT,
            env={**os.environ, **settings, "SETTINGS": json.dumps(dict(settings)), "WAY": way},
            stdout=subprocess.DEVNULL if logs else None,
            stderr=subprocess.DEVNULL if logs else None,
        )

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            SystemExit: it ended, or does not answer.
        """
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/models", headers={"authorization": f"Bearer {KEY}"}
        )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                urllib.request.urlopen(request, timeout=PATIENCE).close()
            except urllib.error.URLError:
                time.sleep(0.05)
            else:
                return
        raise SystemExit(f"The server `{self.name}` did not start; its own words stand above.")

    def kill(self) -> None:
        """End it at once, whatever its threads wait for."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def memory(self) -> int:
        """Bytes of memory that it holds."""
        line = next(line for line in self._proc("status").splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text(encoding="utf-8")


@contextmanager
def serving(
    names: tuple[str, ...], *, settings: Mapping[str, str], way: str = "", logs: bool = False
) -> Iterator[list[Server]]:
    """Servers that answer, for as long as the context lasts."""
    with ExitStack() as stack:
        servers = []
        for name in names:
            servers.append(Server(name, settings=settings, way=way, logs=logs))
            stack.callback(servers[-1].kill)
        for server in servers:
            server.wait()
        yield servers


def raise_file_limit() -> None:
    """Let this process, and those that it starts, hold as many connections as the largest row has.

    Raises:
        SystemExit: the system does not allow it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise SystemExit(
            f"The benchmark opens up to {FILES} files and may open {hard}: raise it by `ulimit -Hn {FILES}`."
        )
    if soft != resource.RLIM_INFINITY and soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
