"""The application: cheap to create, with routes of your own beside its own."""

import threading

import pytest
from litestar import get
from litestar.exceptions import ClientException
from litestar.testing import TestClient

from app.app import create_app
from app.pipelines import pipelines
from app.settings import Settings, SettingsError
from tests.conftest import Serve, error_of, returning


def test_creating_an_application_starts_nothing_and_reads_the_environment_unless_settings_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SYNC_WORKERS", "many")
    threads = {*threading.enumerate()}
    assert create_app(settings=Settings()) is not create_app(settings=Settings())
    assert not {*threading.enumerate()} - threads
    with pytest.raises(SettingsError, match="SYNC_WORKERS"):
        create_app()


def test_it_serves_the_models_of_the_project_and_may_start_again() -> None:
    app = create_app(settings=Settings(), pipelines=pipelines)
    expected = {name for name, model in pipelines.models.items() if model.when(Settings())}
    for _ in range(2):
        with TestClient(app) as client:
            assert {model["id"] for model in client.get("/v1/models").json()["data"]} == expected


def test_routes_of_your_own_have_errors_and_ids_like_all_others(serve: Serve) -> None:
    @get("/mine")
    async def mine() -> None:
        raise ClientException("Not mine.")

    client = serve(returning("Hello!"))
    client.app.register(mine)

    response = client.get("/mine")
    assert response.headers["x-request-id"]
    assert (response.status_code, error_of(response)["message"]) == (400, "Not mine.")
