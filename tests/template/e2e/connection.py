"""A connection that hides nothing: the bytes as they arrive."""

import json
import select
import socket
from typing import Any, Self

from tests.template.e2e.patience import PATIENCE

__all__ = ["Connection", "chat"]

PATH = "/v1/chat/completions"


def chat(model: str, content: str, **fields: Any) -> dict[str, Any]:
    """The body of a request for a chat completion."""
    return {"model": model, "messages": [{"role": "user", "content": content}], **fields}


class Connection:
    """A connection to a server.

    Args:
        port: where it listens.
        receive_buffer: bytes that the system may take for a reader that does not read; its default unless given.
    """

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
        """Send a request, and read nothing."""
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        head += f"x-request-id: {request_id}\r\n" if request_id else ""
        self.send(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)

    def send(self, data: bytes) -> None:
        """Send bytes, and read nothing."""
        self._socket.sendall(data)

    def read_to_end(self) -> bytes:
        """Read until the server closes the connection, and return all."""
        while data := self._socket.recv(65536):
            self.received += data
        return self.received

    def read_until(self, mark: bytes) -> bytes:
        """Read until the mark has arrived, and return all that has since the last request."""
        while mark not in self.received:
            self.read()
        return self.received

    def read(self, size: int = 65536) -> int:
        """Read what there is, or wait for it, and return how many bytes it was."""
        data = self._socket.recv(size)
        assert data, f"The server closed the connection after {self.received!r}"
        self.received += data
        return len(data)

    def skip(self) -> int:
        """Read what there is, forget it, and return how many bytes it was."""
        return len(self._socket.recv(1 << 20))

    @property
    def is_silent(self) -> bool:
        """Whether nothing waits to be read."""
        return not select.select([self._socket], [], [], 0)[0]

    def hang_up(self) -> None:
        """End the connection for whoever reads from it in another thread."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def leave(self) -> None:
        """Close the connection."""
        self._socket.close()
