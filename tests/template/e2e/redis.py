"""A Redis server of the tests' own."""

import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from tests.conftest import PATIENCE
from tests.template.e2e.patience import eventually

REDIS = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(REDIS is None, reason="there is no redis-server: apt-get install redis-server")


class Redis:
    """A Redis server that keeps nothing, in a folder and at a port."""

    def __init__(self, folder: Path, port: int) -> None:
        assert REDIS is not None
        self.url = f"redis://127.0.0.1:{port}"
        self._port = port
        command = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command

    def __enter__(self) -> Self:
        eventually(self._answers, bool)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100) == b"+PONG\r\n"
        return False
