"""A blocking connection that shows the bytes as they arrive."""

import json
import select
import socket
from typing import Any, Self

from tests.conftest import PATIENCE

__all__ = ["PATH", "Connection", "chat", "head_of"]

PATH = "/v1/chat/completions"


def chat(model: str, content: str, **fields: Any) -> dict[str, Any]:
    """Return the body of a request for a chat completion."""
    return {"model": model, "messages": [{"role": "user", "content": content}], **fields}


def head_of(length: int, path: str = PATH, more: str = "") -> bytes:
    """Return the head of a request with a JSON body of so many bytes."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}{more}content-length: {length}\r\n\r\n".encode()


class Connection:
    """A connection to a server on a port; `receive_buffer` limits the bytes that the system takes for it."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.received = b""
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(("127.0.0.1", port))
        except OSError:
            self.leave()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def post(self, body: dict[str, Any], path: str = PATH, *, request_id: str | None = None) -> None:
        data = json.dumps(body).encode()
        self.send(head_of(len(data), path, f"x-request-id: {request_id}\r\n" if request_id else "") + data)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read_to_end(self) -> bytes:
        """Read until the server closes the connection, and return everything received."""
        while data := self._socket.recv(65536):
            self.received += data
        return self.received

    def read_until(self, mark: bytes) -> bytes:
        """Read until the mark has arrived, and return everything received."""
        while mark not in self.received:
            data = self._socket.recv(65536)
            assert data, f"The server closed the connection after {self.received!r}"
            self.received += data
        return self.received

    def skip(self) -> int:
        """Read what there is without keeping it, and return how many bytes it was."""
        return len(self._socket.recv(1 << 20))

    @property
    def is_silent(self) -> bool:
        return not select.select([self._socket], [], [], 0)[0]

    def leave(self) -> None:
        self._socket.close()
