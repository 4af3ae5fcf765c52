"""A blocking connection that shows the bytes as they arrive, and what is sent over it."""

import json
import select
import socket
from typing import Any, Self

from openai.types.chat import ChatCompletionMessageParam

from tests.conftest import PATIENCE

PATH = "/v1/chat/completions"


def says(text: str) -> list[ChatCompletionMessageParam]:
    """Return a conversation in which a user says one thing."""
    return [{"role": "user", "content": text}]


def chat(model: str, content: str, **fields: Any) -> dict[str, Any]:
    """Return the body of a request for a chat completion."""
    return {"model": model, "messages": says(content), **fields}


def head_of(length: int, more: str = "") -> bytes:
    """Return the head of a request with a JSON body of so many bytes."""
    head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}{more}content-length: {length}\r\n\r\n".encode()


class Connection:
    """A connection to a server on a port; `receive_buffer` limits the bytes that the system takes for it."""

    def __init__(self, port: int, *, receive_buffer: int = 0) -> None:
        self.received = b""
        self._socket = socket.socket()
        self._socket.settimeout(PATIENCE)
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if error := self._socket.connect_ex(("127.0.0.1", port)):
            self._socket.close()
            raise ConnectionError(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def post(self, body: dict[str, Any], *, request_id: str = "") -> None:
        data = json.dumps(body).encode()
        self.send(head_of(len(data), f"x-request-id: {request_id}\r\n" if request_id else "") + data)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self) -> bytes:
        """Return the next bytes, none if the server has closed the connection, and keep them."""
        data = self._socket.recv(65536)
        self.received += data
        return data

    def skip(self) -> int:
        """Read what there is without keeping it, and return how many bytes it was."""
        return len(self._socket.recv(1 << 20))

    def read_to_end(self) -> bytes:
        """Read until the server closes the connection, and return everything received."""
        while self.read():
            pass
        return self.received

    def read_until(self, mark: bytes) -> bytes:
        """Read until the mark has arrived, and return everything received."""
        while mark not in self.received:
            assert self.read(), f"The server closed the connection after {self.received!r}"
        return self.received

    @property
    def is_silent(self) -> bool:
        return not select.select([self._socket], [], [], 0)[0]
