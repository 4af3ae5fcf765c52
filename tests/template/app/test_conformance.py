"""The conformance tests: how often they ask a model, what they keep of its answers and failures, and whom they skip."""

import shutil
import sys
from collections import Counter
from pathlib import Path

from tests.conftest import ROOT
from tests.template.projects import run

MODELS = '''
"""Models that note how they are called."""

from collections.abc import Iterator
from pathlib import Path

from app.model import Body, CompletionError, Messages, Usage
from app.registry import Pipelines

pipelines = Pipelines()
calls = Path(__file__).with_name("calls")


def note(model: str) -> None:
    with calls.open("a") as file:
        print(model, file=file)


@pipelines.model("answers")
def answers(model: str, messages: Messages, body: Body) -> str:
    note(model)
    return "Hello!"


@pipelines.model("varies")
def varies(model: str, messages: Messages, body: Body) -> str:
    note(model)
    return str(len(calls.read_text()))


@pipelines.model("is-down")
def is_down(model: str, messages: Messages, body: Body) -> str:
    note(model)
    raise CompletionError("The upstream is down.", status=502)


@pipelines.model("calls-no-tools")
def calls_no_tools(model: str, messages: Messages, body: Body) -> str:
    note(model)
    if "tools" in body:
        raise CompletionError("I take no tools.", status=400)
    return "Hello!"


@pipelines.model("breaks-off")
def breaks_off(model: str, messages: Messages, body: Body) -> Iterator[str]:
    note(model)
    yield "Hello"
    raise KeyError("no such city")


@pipelines.model("is-hidden")
def is_hidden(model: str, messages: Messages, body: Body) -> str:
    note(model)
    return "Hello!"


@pipelines.model("is-left-out", conformance=False)
def is_left_out(model: str, messages: Messages, body: Body) -> str:
    note(model)
    return "Hello!"
'''
EXTENSIONS = """

from litestar.di import NamedDependency

from app.pipeline_service import PipelineService
from app.pipelines import note


class Service:
    def __init__(self, pipelines):
        self.pipelines = pipelines

    async def complete(self, model, messages, body):
        if model != "of-a-service":
            return await self.pipelines.complete(model, messages, body)
        note(model)
        return "Hello!"

    async def list_models(self):
        return [*[model for model in await self.pipelines.list_models() if model.id != "is-hidden"], "of-a-service"]


async def provide(pipelines: NamedDependency[PipelineService]) -> Service:
    return Service(pipelines)


dependencies["completion_service"] = Provide(provide)
"""


def test_each_model_is_asked_once_for_each_kind_of_answer_and_one_that_fails_at_first_only_once(tmp_path: Path) -> None:
    for name in ("app", "controllers", "schemas"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").mkdir()
    for name in ("pyproject.toml", "tests/conftest.py", "tests/test_conformance.py", "tests/test_responses.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "app" / "pipelines.py").write_text(MODELS)
    with (tmp_path / "app" / "extensions.py").open("a") as extensions:
        extensions.write(EXTENSIONS)
    about_models = "conformance or each_model"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", about_models]
    printed = run(tmp_path, *command, exit_code=1)

    calls = Counter((tmp_path / "app" / "calls").read_text().split())
    assert calls == {"answers": 7, "of-a-service": 7, "varies": 8, "calls-no-tools": 7, "is-down": 1, "breaks-off": 1}
    failed = [
        line.partition(" - ")[0].rpartition("::")[2] for line in printed.splitlines() if line.startswith("FAILED")
    ]
    assert sorted(failed) == [
        "test_the_whole_answer_is_a_completion_of_openais_type[breaks-off]",
        "test_the_whole_answer_is_a_completion_of_openais_type[is-down]",
        "test_tool_calls_are_counted_from_0_and_named_once[calls-no-tools]",
    ]
    assert "The model 'is-down' failed at first, and is not asked again: " in printed
    assert "KeyError: 'no such city'" in printed.partition("The server's log says:")[2]
    assert "'is-hidden' is registered, but the services list it to nobody with the tests' key" in printed
