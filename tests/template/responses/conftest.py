"""A service that the tests of the Responses API ask."""

import pytest

from app.responses.request import responses_request
from schemas.chat import Json
from tests.conftest import Client, Serve


class Repeating:
    """A service that repeats the last message, and notes what it was asked."""

    def __init__(self) -> None:
        self.messages: list[Json] = []
        self.body: Json = {}
        self.request: Json | None = None

    def list_models(self) -> list[str]:
        return ["test"]

    def complete(self, model: str, messages: list[Json], body: Json) -> str:
        self.messages, self.body, self.request = messages, body, responses_request()
        return str(messages[-1]["content"])


@pytest.fixture(scope="module")
def service() -> Repeating:
    return Repeating()


@pytest.fixture(scope="module")
def client(serve_all: Serve, service: Repeating) -> Client:
    return serve_all(service)
