"""Alive, and ready or not."""

from types import SimpleNamespace

import pytest
from litestar.routes import HTTPRoute

from tests.conftest import Client, Serve, error_of, returning


@pytest.fixture
def service() -> SimpleNamespace:
    """A service that can say that it is loading."""
    return SimpleNamespace(complete=returning("Hello!"), list_models=lambda: ["test"], loading=False)


@pytest.fixture
def client(serve: Serve, service: SimpleNamespace) -> Client:
    return serve(service)


def test_a_server_is_alive_and_ready(client: Client) -> None:
    for path, status in (("/health", "alive"), ("/ready", "ready")):
        response = client.get(path)

        assert response.status_code == 200
        assert response.json() == {"status": status}


def test_it_is_ready_when_its_models_are_loaded(client: Client, service: SimpleNamespace) -> None:
    service.loading = True
    response = client.get("/ready")

    assert response.status_code == 503
    assert error_of(response)["code"] == "overloaded"
    assert "loaded" in error_of(response)["message"]
    assert response.headers["retry-after"] == "1"
    assert client.get("/health").status_code == 200

    service.loading = False
    assert client.get("/ready").status_code == 200


def test_it_is_not_ready_while_it_drains_but_alive(client: Client) -> None:
    client.app.state.engine.draining = True

    response = client.get("/ready")

    assert response.status_code == 503
    assert "shutting down" in error_of(response)["message"]
    assert client.get("/health").status_code == 200


def test_a_service_that_says_nothing_of_loading_is_ready(serve: Serve) -> None:
    assert serve(returning("Hello!")).get("/ready").status_code == 200


def test_whoever_asks_needs_no_key(client: Client) -> None:
    handlers = [
        handler
        for route in client.app.routes
        if isinstance(route, HTTPRoute) and route.path in ("/health", "/ready")
        for handler in route.route_handlers
        if "GET" in handler.http_methods
    ]

    assert [handler.opt.get("exclude_from_auth") for handler in handlers] == [True, True]
