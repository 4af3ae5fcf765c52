"""The composition root: cheap, pure, and found by `litestar run`."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from app.app import create_app
from app.pipelines import pipelines
from app.settings import Settings, SettingsError

ROOT = Path(__file__).parents[3]


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(  # noqa: S603 - our own interpreter, with our own code
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_an_application_imports_no_haystack_and_starts_no_thread() -> None:
    code = """
import sys, threading
from app.app import create_app
create_app()
print("haystack" in sys.modules, "openai" in sys.modules, threading.active_count())
"""

    assert run(code) == "False False 1"


def test_importing_the_controllers_first_is_no_circle() -> None:
    assert run("import controllers.openai, app.engine.engine; print('fine')") == "fine"


def test_an_application_can_be_made_twice() -> None:
    threads = threading.enumerate()

    first, second = create_app(settings=Settings()), create_app(settings=Settings())

    assert isinstance(first, Litestar)
    assert first is not second
    assert first.state.engine is not second.state.engine
    assert not set(threading.enumerate()) - set(threads)


def test_the_settings_are_those_of_the_environment_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWNED_BY", "the environment")

    for settings, owner in ((None, "the environment"), (Settings(owned_by="me"), "me")):
        with TestClient(create_app(settings=settings)) as client:
            assert {model["owned_by"] for model in client.get("/v1/models").json()["data"]} == {owner}


def test_a_wrong_setting_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNC_WORKERS", "many")

    with pytest.raises(SettingsError, match="SYNC_WORKERS"):
        create_app()


@pytest.mark.parametrize(
    ("setting", "module", "extra"),
    [
        ("metrics", "prometheus_client", "metrics"),
        ("tracing", "opentelemetry", "otel"),
    ],
)
def test_a_setting_whose_packages_are_missing_stops_the_start_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, setting: str, module: str, extra: str
) -> None:
    for name in [f"app.telemetry.{setting}", *(name for name in sys.modules if name.startswith("litestar.plugins."))]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    settings: dict[str, Any] = {setting: True}

    with pytest.raises(SettingsError, match=f"`uv run --extra {extra} litestar run`"):
        create_app(settings=Settings(**settings))


def test_the_models_of_the_project_are_served() -> None:
    with TestClient(create_app(settings=Settings())) as client:
        names = {model["id"] for model in client.get("/v1/models").json()["data"]}

    assert {"echo", "echo-stream"} <= names <= set(pipelines.models)


def test_an_application_may_start_and_stop_more_than_once() -> None:
    app = create_app(settings=Settings())

    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/v1/models").status_code == 200
