"""The Open Responses specification and OpenAI's of chats, by the tests of `llm-comply`."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from litestar import Litestar

from app.app import create_app as create_project_app
from app.registry import Pipelines
from app.services import Body, Messages
from schemas.chat import Delta, FunctionCallDelta, Json, ToolCallDelta
from tests.conftest import PATIENCE
from tests.template.e2e.server import Server


async def gpt_5(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Delta | Json]:
    """Reason if the request says with which effort, then call the first tool, or answer."""
    if "reasoning_effort" in body:
        yield Delta(reasoning_content="They greet me.")
    if tools := body.get("tools"):
        called = FunctionCallDelta(name=tools[0]["function"]["name"], arguments='{"location": "Paris"}')
        yield Delta(tool_calls=[ToolCallDelta(index=0, id="call_1", type="function", function=called)])
    else:
        yield "Hello"
        yield ", world"
    details = {"completion_tokens_details": {"reasoning_tokens": 4}}
    yield {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 7, **details}}


def create_app() -> Litestar:
    pipelines = Pipelines()
    pipelines.add("gpt-5", gpt_5)
    return create_project_app(pipelines=pipelines)


@pytest.mark.parametrize(("form", "least"), [("open-responses", 13), ("openai-chat", 9)])
def test_a_model_complies(tmp_path: Path, form: str, least: int) -> None:
    with Server(tmp_path / "log", app="tests.template.e2e.test_compliance:create_app") as server:
        command = [str(Path(sys.executable).with_name("llm-comply")), "--base-url", f"{server.url}/v1"]
        command += ["--api-key", "none", "--model", "gpt-5", "--format", form, "--timeout", str(PATIENCE), "--json"]
        run = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - our own command

    results = json.loads(run.stdout)["results"]
    assert [result for result in results if result["status"] != "passed"] == []
    assert len(results) >= least
