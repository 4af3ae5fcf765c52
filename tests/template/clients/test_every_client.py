"""Each client, by a script of its own, reads what each model says, whole and streamed."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
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
    own = f"run --quiet --isolated --no-project --with {LLAMA_INDEX} --python".split()
    return [needed("uv"), *own, *python(client)]


def node(client: str) -> list[str]:
    """Copy the script to where its packages are, which are installed once."""
    packages = (FOLDER / "package.json").read_bytes()
    folder = Path(tempfile.gettempdir()) / f"clients-{sha256(packages).hexdigest()[:12]}"
    if not (folder / "installed").exists():
        folder.mkdir(exist_ok=True)
        (folder / "package.json").write_bytes(packages)
        quiet = ["--no-audit", "--no-fund", "--silent"]
        subprocess.run([needed("npm"), "install", *quiet], cwd=folder, check=True)  # noqa: S603 - our own command
        (folder / "installed").touch()
    return [needed("node"), str(shutil.copy(FOLDER / f"{client}.mjs", folder / f"{client}.mjs"))]


def needed(program: str) -> str:
    return shutil.which(program) or pytest.skip(f"`{program}` is not installed")


CLIENTS = {"llama_index": llama_index, "openai_node": node, "ai_sdk": node}  # the others are packages of the tests
TRANSPORTS = {"agents": ["http", "websocket"], "pydantic_ai": ["http", "websocket"]}  # of those that offer both


@pytest.mark.parametrize("client", ["langchain", "agents", "pydantic_ai", *CLIENTS])
def test_a_client_reads_what_models_say_whole_and_streamed(server: Server, client: str) -> None:
    transports = TRANSPORTS.get(client, ["http"])
    command = [*CLIENTS.get(client, python)(client), f"{server.url}/v1", ",".join(transports), *SAID]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, env=environment)  # noqa: S603 - our own command
    assert run.returncode == 0, run.stderr

    answers = [json.loads(line) for line in run.stdout.splitlines()]
    wrong = [each for each in answers if not holds(each[2], SAID[each[0]])]
    assert (len(answers), wrong) == (2 * len(SAID) * len(transports), [])


def holds(read: Json, said: Json) -> bool:
    """Return whether what was read is what was said, whatever a client writes around an error."""
    return all(text in read.get(key, "") if key == "error" else text == read.get(key) for key, text in said.items())
