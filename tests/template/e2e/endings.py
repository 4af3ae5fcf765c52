"""The ways in which a completion can end, as a client brings them about."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import httpx
from msgspec import Struct

from tests.template.e2e.connection import PATH, Connection, chat
from tests.template.e2e.patience import PATIENCE, eventually
from tests.template.e2e.server import Server

__all__ = ["TIMEOUT", "WAYS", "Way", "ask", "leave"]

TIMEOUT = 3  # seconds that a server may give a completion, for it to end by that
Act: TypeAlias = Callable[[Server, str, str, bool], None]  # of a server, a model, a key and whether to stream
Ending: TypeAlias = Literal["done", "client_left", "error", "timeout", "rejected"]


class Way(Struct, frozen=True):
    """How to end a completion of a model, and the ending that is reported."""

    model: str
    act: Act
    ended: Ending
    listed: bool = True


def ask(server: Server, model: str, key: str, stream: bool) -> None:
    body = chat(model, key, stream=stream)
    httpx.post(server.url + PATH, json=body, headers={"x-request-id": key}, timeout=PATIENCE)


def leave(server: Server, model: str, key: str, stream: bool) -> None:
    """Ask, wait until the model has started, and leave."""
    with Connection(server.port) as connection:
        connection.post(chat(model, key, stream=stream), request_id=key)
        server.wait_for(key, "started")


def leave_and_open(server: Server, model: str, key: str, stream: bool) -> None:
    """Leave a model that outlives its client, and let it finish when it has run on for a while."""
    leave(server, model, key, stream)
    seen = server.items(key)
    eventually(lambda: server.items(key), lambda items: items > seen + 30)
    server.open_gate(key)


WAYS = {
    "done": Way("usage", ask, "done"),
    "done in a thread": Way("generator", ask, "done"),
    "left": Way("endless-async-generator", leave, "client_left"),
    "left in a thread": Way("endless-generator", leave, "client_left"),
    "left before the first item": Way("late-async-generator", leave, "client_left"),
    "left and finished": Way("faithful-generator", leave_and_open, "client_left"),
    "failed": Way("crash", ask, "error"),
    "failed later": Way("crash-after", ask, "error"),
    "refused by the model": Way("teapot", ask, "error"),
    "took too long": Way("gated-async-generator", ask, "timeout"),
    "no such model": Way("made-up", ask, "rejected", listed=False),
}
