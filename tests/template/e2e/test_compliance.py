"""The Open Responses specification and OpenAI's of chats, by the tests of `llm-comply`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PATIENCE
from tests.template.e2e.server import Server


@pytest.mark.parametrize(("form", "least"), [("open-responses", 13), ("openai-chat", 9)])
def test_a_model_complies(server: Server, form: str, least: int) -> None:
    command = [str(Path(sys.executable).with_name("llm-comply")), "--base-url", f"{server.url}/v1", "--api-key", "none"]
    command += ["--model", "gpt-5", "--format", form, "--timeout", str(PATIENCE), "--json"]
    run = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - our own command

    results = json.loads(run.stdout)["results"]
    assert [result for result in results if result["status"] != "passed"] == []
    assert len(results) >= least
