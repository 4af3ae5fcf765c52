"""A client that reads a byte now and then from what never ends: the generator waits for it."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.engine.engine import BUFFER_LIMIT
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.server import Server
from tests.template.e2e.waiting import TORRENT_ITEM

RECEIVE_BUFFER = 65536
SERVER_BUFFER = 65536  # what uvicorn lets wait before it makes the sender wait
LOOKS = 30
PAUSE = 0.02


@pytest.fixture
def most() -> int:
    """How many items the buffers hold: one that is full, one that is being sent, and those of the sockets."""
    send_buffer = int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text(encoding="ascii").split()[2])
    held = 2 * RECEIVE_BUFFER + send_buffer + SERVER_BUFFER  # the system doubles the first
    return 2 * BUFFER_LIMIT + held // len(TORRENT_ITEM)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much a socket may hold")
@pytest.mark.parametrize("model", ["torrent", "async-torrent"])
def test_the_generator_makes_no_more_than_the_buffers_hold(
    busy: Server, key: str, model: str, most: int, record_property: Callable[[str, object], None]
) -> None:
    items: list[int] = []
    with Connection(busy.port, receive_buffer=RECEIVE_BUFFER) as connection:
        connection.post(chat(model, key, stream=True))
        connection.read_until(b"yyy")
        while len(items) < LOOKS or items[-LOOKS] < items[-1]:
            connection.read(1)
            items.append(busy.items(key))
            assert items[-1] <= most
            time.sleep(PAUSE)

    record_property(f"items made, where at most {most} may be", items[-1])
    assert busy.wait_for(key, "closed") == ["started", "closed"]
    busy.wait_until_idle()
