from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from litestar.testing import TestClient

from tests.template.chat.scripted import Scripted, serve

settings.register_profile("server", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("server")


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    """A server, made once, whose model gives the result of each example."""
    service = Scripted()
    with TestClient(serve(service), raise_server_exceptions=False) as client:
        service.client = client
        yield service
