"""A server that gives one answer to all requests, and keeps what was sent to it."""

import json
from collections import deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from schemas.chat import Json


class Upstream(ThreadingHTTPServer):
    """The server, which runs until its context ends."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: deque[tuple[str, Mapping[str, str], bytes]] = deque(maxlen=100)
        self.silent = Event()
        self.answers({})
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def bodies(self) -> list[Json]:
        """What was sent, where that is JSON."""
        return [json.loads(body) for _, _, body in self.requests]

    def answers(self, body: Json | str, status: int = 200, **headers: str) -> None:
        """Set the answer; one that announces more than it sends is broken off."""
        self.data = (json.dumps(body) if isinstance(body, dict) else body).encode()
        self.status = status
        kind = "application/json" if isinstance(body, dict) else "text/html"
        self.headers = {"content_type": kind, "content_length": str(len(self.data)), **headers}

    def server_close(self) -> None:
        """Stop to serve, as the context does at its end."""
        self.shutdown()
        super().server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Upstream

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        if self.server.silent.is_set():
            self.rfile.read()  # until the client gives up
            return
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(self.server.data)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""
