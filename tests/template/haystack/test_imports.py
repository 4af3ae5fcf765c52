"""Haystack is imported when a model of it is made, and sends no telemetry unless the user turns it on."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

IMPORTS = """
import sys
from litestar.testing import TestClient
from app.app import create_app
from app.settings import Settings

def ask(model):
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    return client.post("/v1/chat/completions", json=body).status_code

settings = Settings(openai_model="upstream", openai_base_url="http://127.0.0.1:1")
app = create_app(settings=settings)
print("haystack" in sys.modules, "openai" in sys.modules)
with TestClient(app) as client:
    print(ask("echo"), ask("chat"), "haystack" in sys.modules)
import haystack.telemetry._telemetry as telemetry
print(telemetry.telemetry is not None)
"""
TELEMETRY = """
import app.app
from unittest.mock import patch
with patch("posthog.Posthog"):
    import haystack.telemetry._telemetry as telemetry
print(telemetry.telemetry is not None)
"""


def printed(code: str, **environment: str) -> list[str]:
    """Return the lines that a new interpreter prints."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HAYSTACK")}
    done = subprocess.run(  # noqa: S603 - our own interpreter, with our own code
        [sys.executable, "-c", code], cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_haystack_is_imported_when_its_models_are_made_and_without_telemetry(tmp_path: Path) -> None:
    assert printed(IMPORTS, HOME=str(tmp_path)) == ["False False", "200 502 True", "False"]


def test_the_user_can_turn_telemetry_on(tmp_path: Path) -> None:
    assert printed(TELEMETRY, HOME=str(tmp_path), HAYSTACK_TELEMETRY_ENABLED="true") == ["True"]
