"""A service that repeats the last message, and the client that asks it."""

import pytest

from app.services import Body, Messages
from tests.conftest import Client, Serve
from tests.template.chat.scripted import Scripted


def repeat(model: str, messages: Messages, body: Body) -> str:
    return str(messages[-1]["content"])


@pytest.fixture(scope="module")
def service() -> Scripted:
    return Scripted(repeat)


@pytest.fixture(scope="module")
def client(serve_all: Serve, service: Scripted) -> Client:
    return serve_all(service)
