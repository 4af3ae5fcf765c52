"""The server that all clients ask."""

from collections.abc import Iterator

import pytest

from tests.template.e2e.server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("clients") / "log"
    with Server(log, app="tests.template.clients.serving:create_app") as server:
        yield server
