"""A Redis server of the tests' own."""

import shutil
import socket
import subprocess
from typing import Any, Self

import pytest

from tests.conftest import PATIENCE, until

REDIS = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(REDIS is None, reason="there is no redis-server: apt-get install redis-server")


def free_port() -> int:
    """Return a port of this machine on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Redis:
    """A Redis server that keeps nothing."""

    def __init__(self, port: int | None = None) -> None:
        self._port = port or free_port()
        self.url = f"redis://127.0.0.1:{self._port}"
        command = [str(REDIS), "--port", str(self._port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command

    def __enter__(self) -> Self:
        until(self._listens)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def client(self) -> Any:
        """Return a client of it."""
        return pytest.importorskip("redis").Redis.from_url(self.url)

    def stop(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
