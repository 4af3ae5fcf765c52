"""Each client, by a script of its own, reads what each model says, whole and streamed."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from schemas.chat import Json
from tests.conftest import ROOT
from tests.template.clients.serving import ANSWER, SOURCE
from tests.template.e2e.server import Server

FOLDER = Path(__file__).parent
LLAMA_INDEX = "llama-index-llms-openai==0.8.3"  # which wants an older `openai` than the tests have
SAID: dict[str, Json] = {
    "text": {"text": ANSWER, "thought": "", "sources": []},
    "thinks": {"text": ANSWER, "thought": "They greet me.", "sources": []},
    "notifies": {"text": ANSWER},
    "cites": {"text": ANSWER, "sources": [SOURCE["title"]]},
    "calls": {"text": "Rain in Paris. Rain in Rome."},
    "fails": {"error": "The index is being rebuilt."},
    "breaks": {"error": "The index broke."},
}


def python(client: str) -> list[str]:
    return [sys.executable, str(FOLDER / f"{client}_client.py")]


def llama_index(client: str) -> list[str]:
    own = [needed("uv"), "run", "--quiet", "--no-project", "--python", sys.executable, "--with", LLAMA_INDEX]
    return [*own, *python(client)[1:]]


def node(client: str) -> list[str]:
    """Copy the script to where its packages are, which are installed once."""
    packages = (FOLDER / "package.json").read_bytes()
    folder = Path(tempfile.gettempdir()) / f"clients-{sha256(packages).hexdigest()[:12]}"
    if not (folder / "installed").exists():
        shutil.copytree(FOLDER, folder, dirs_exist_ok=True, ignore=lambda _, names: {*names} - {"package.json"})
        quiet = ["--no-audit", "--no-fund", "--silent"]
        subprocess.run([needed("npm"), "install", *quiet], cwd=folder, check=True)  # noqa: S603 - our own command
        (folder / "installed").touch()
    return [needed("node"), str(shutil.copy(FOLDER / f"{client}.mjs", folder / f"{client}.mjs"))]


def needed(program: str) -> str:
    return shutil.which(program) or pytest.skip(f"`{program}` is not installed")


CLIENTS: dict[str, Callable[[str], list[str]]] = {
    **dict.fromkeys(("langchain", "agents", "pydantic_ai"), python),
    "llama_index": llama_index,
    **dict.fromkeys(("openai_node", "ai_sdk"), node),
}


@pytest.fixture(scope="session")
def read_by(server: Server) -> Callable[..., dict[tuple[str, bool], Json]]:
    """Return what a client reads, by model and whether it is streamed."""

    @cache
    def read(client: str, transport: str = "http") -> dict[tuple[str, bool], Json]:
        command = [*CLIENTS[client](client), f"{server.url}/v1", transport, *SAID]
        run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})  # noqa: S603 - our own command
        assert run.returncode == 0, run.stderr
        return {(model, stream): said for model, stream, said in map(json.loads, run.stdout.splitlines())}

    return read


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", SAID)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_reads_what_a_model_says(
    read_by: Callable[..., dict[tuple[str, bool], Json]], client: str, model: str, stream: bool
) -> None:
    if (client, model, stream) == ("llama_index", "breaks", True):
        pytest.skip("LlamaIndex does not look at `response.failed`")
    holds(read_by(client)[model, stream], SAID[model])


@pytest.mark.parametrize("client", ["agents", "pydantic_ai"])
def test_a_client_reads_over_a_websocket_what_models_say(
    read_by: Callable[..., dict[tuple[str, bool], Json]], client: str
) -> None:
    for (model, _), read in read_by(client, "websocket").items():
        holds(read, SAID[model])


def holds(read: Json, said: Json) -> None:
    """Check that what was read is what was said, whatever a client writes around an error."""
    assert read.keys() >= said.keys(), read
    assert all(said[key] in read[key] if key == "error" else said[key] == read[key] for key in said), read
