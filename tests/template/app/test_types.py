"""The types of models: mypy and pyright accept the models of the pages, and reject those that no server can call."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.template.e2e.test_readme import BLOCKS

EXAMPLES = "".join(f"\n# {block}\n{block.as_module}" for block in BLOCKS if block.kind == "models")
HEAD = """
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from haystack.dataclasses import ChatMessage, StreamingChunk
from openai.types.chat import ChatCompletion as TheirCompletion
from app.model import *
from app.registry import Pipelines
models = Pipelines()
"""
RIGHT = """
def loose(model: str, messages: Any, body: dict[str, Any]) -> Any: raise OSError
def renamed(name: str, chat: Messages, request: Body) -> list[str]: raise OSError
def optional(model: str, messages: Messages, body: Body, headers: Headers | None = None) -> ChatMessage: raise OSError
async def keyword(model: str, messages: Messages, body: Body, *, headers: Headers) -> str | Result: raise OSError
def chunks(model: str, messages: Messages, body: Body) -> Iterator[StreamingChunk | Delta]: raise OSError
async def theirs(model: str, messages: Messages, body: Body) -> TheirCompletion | dict[str, str]: raise OSError
def items(model: str, messages: Messages, body: Body) -> AsyncIterator[Item]: raise OSError
def result(model: str, messages: Messages, body: Body) -> Result: raise OSError
class Answering:
    async def __call__(self, model: str, messages: Messages, body: Body) -> str: raise OSError
async def factory(settings: object) -> Answering: raise OSError
models.add("answering", Answering())
models.factory("factory")(factory)
models.model("loose")(loose), models.model("renamed")(renamed), models.model("optional")(optional)
models.model("keyword")(keyword), models.model("chunks")(chunks), models.model("theirs")(theirs)
models.model("items")(items), models.model("result")(result)
@models.embedder("vectors", batch=8)
def vectors(texts: list[str]) -> list[list[float]]: raise OSError
@models.embedder("cut")
async def cut(texts: list[str], dimensions: int | None) -> Any: raise OSError
@models.embedder_factory("made")
def made(settings: object) -> Callable[[list[str]], Any]: raise OSError
"""
WRONG = """
@models.model("number")
def number(model: str, messages: Messages, body: Body) -> int: raise OSError
@models.model("none")
async def none(model: str, messages: Messages, body: Body) -> None: raise OSError
@models.model("text for messages")
def text(model: str, messages: str, body: Body) -> str: raise OSError
@models.model("too few")
def few(model: str, messages: Messages) -> str: raise OSError
@models.model("too many")
def many(model: str, messages: Messages, body: Body, settings: object) -> str: raise OSError
@models.model("a list of requests")
def requests(model: str, messages: Messages, body: list[Body]) -> str: raise OSError
@models.model("text for headers")
def headers(model: str, messages: Messages, body: Body, headers: str) -> str: raise OSError
@models.embedder("one text")
def one(text: str) -> list[float]: raise OSError
@models.factory("a factory of text")
def factory() -> str: raise OSError
@models.resource
def resource() -> Iterator[int]: raise OSError
models.add("added", lambda model, messages, body: 1)
models.model("misspelt", owner="me")
def items(model: str, messages: Messages, body: Body) -> Iterator[Item]: yield 1
"""


def mypy(file: Path) -> list[int]:
    """Return the lines in which mypy finds errors, which it may have kept from another run under another path."""
    printed = output_of("mypy", "--strict", str(file))
    return [int(line) for line in re.findall(rf"{file.name}:(\d+): error", printed, re.MULTILINE)]


def pyright(file: Path) -> list[int]:
    """Return the lines in which pyright finds errors."""
    pytest.importorskip("basedpyright", reason="the group `template` is not installed")
    settings = {"typeCheckingMode": "standard", "reportRedeclaration": False, "extraPaths": [str(ROOT)]}
    (file.parent / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    printed = output_of("basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(file.parent))
    found = [each for each in json.loads(printed)["generalDiagnostics"] if each["severity"] == "error"]
    return [each["range"]["start"]["line"] + 1 for each in found]


def output_of(*command: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own commands
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    return done.stdout


@pytest.mark.parametrize("check", [mypy, pyright])
def test_models_that_can_be_called_are_accepted_and_others_rejected(
    check: Callable[[Path], list[int]], tmp_path: Path
) -> None:
    assert EXAMPLES.count("@pipelines.") > 10
    text = EXAMPLES + HEAD + RIGHT + WRONG
    (tmp_path / "models.py").write_text(text, encoding="utf-8")
    wrong = [line for line in WRONG.splitlines() if line.startswith(("@", "models", "def items"))]
    assert sorted({text.splitlines()[line - 1] for line in check(tmp_path / "models.py")}) == sorted(wrong)
