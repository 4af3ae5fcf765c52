"""A project made of this template, with any packs, passes its own checks and tests, and can be updated."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from app.settings import Settings
from tests.conftest import ROOT

PACKS = sorted(yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))["packs"]["choices"].values())
LEFT_OUT = [  # packs that share code are in different lists
    ["agents", "haystack", "limits", "playground", "ray"],
    ["embeddings", "examples", "local", "responses", "telemetry"],
    PACKS,
]
DEFAULT_PACKS = ["haystack", "playground", "responses", "telemetry"]
EXTRAS = {
    "agents": ["langgraph", "openai-agents", "pydantic-ai"],
    "embeddings": ["embeddings"],
    "limits": ["redis"],
    "local": ["local"],
    "ray": ["ray"],
    "responses": ["redis"],
    "telemetry": ["metrics", "otel"],
}
MODELS = {
    "embeddings": ["wordllama"],
    "examples": ["events", "reasoning", "tools"],
    "haystack": ["chat", "rag"],
    "local": ["local"],
}
ANSWERS = {"name": "mine", "description": 'My "models".', "owner": "Ann"}
OURS = ("starter", "benchmark", "fastapi-openai-compat", "copier.yml", ".scaffold", "tests/template")
CACHE = {"MYPY_CACHE_DIR": str(ROOT / ".mypy_cache" / "projects")}  # of what they have in common
GIT = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def run(folder: Path, *command: str, code: int = 0) -> str:
    """Run a command without the environment of these tests, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV", "GIT_"))}
    done = subprocess.run(  # noqa: S603 - our own commands
        command,
        cwd=folder,
        env=environment | GIT | CACHE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def python(folder: Path, module: str, *arguments: str) -> str:
    return run(folder, sys.executable, "-m", module, *arguments)


def commit(folder: Path, tag: str) -> None:
    for command in (["add", "--all"], ["commit", "--quiet", "--no-verify", f"--message={tag}"], ["tag", tag]):
        run(folder, "git", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false", *command)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as it is in the working tree, committed and tagged."""
    folder = tmp_path_factory.mktemp("template")
    files = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in files.rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    run(folder, "git", "init", "--quiet")
    commit(folder, "v1.0.0")
    return folder


def make(template: Path, folder: Path, packs: list[str], **answers: object) -> Path:
    """Make a project with these packs."""
    given: Mapping[str, object] = {**ANSWERS, "packs": packs, **answers}
    data = [f"--data={name}={value}" for name, value in given.items()]
    python(template, "copier", "copy", "--quiet", "--trust", "--defaults", *data, str(template), str(folder))
    return folder


def check(project: Path) -> None:
    """Run the checks and tests of a project, and ask its model `echo`."""
    python(project, "ruff", "format", "--check", ".")
    python(project, "ruff", "check", ".")
    python(project, "mypy")
    run(project, str(Path(sys.executable).parent / "lint-imports"))
    slow = "not rag and not local"  # those models answer by a language model where the extra `local` is installed
    assert " passed" in python(project, "pytest", "--quiet", "-p", "no:cacheprovider", "-k", slow)
    code = (
        "from litestar.testing import TestClient; from app.app import create_app\n"
        "body = {'model': 'echo', 'messages': [{'role': 'user', 'content': 'Still here.'}]}\n"
        "with TestClient(create_app()) as client: print(client.post('/v1/chat/completions', json=body).text)"
    )
    assert '"Still here."' in run(project, sys.executable, "-c", code)


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the names and contents of a project's text files."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".png")):
        if not any(part == ".git" or part.endswith("_cache") for part in path.parts):
            yield path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=LEFT_OUT, ids=lambda packs: f"without-{','.join(packs)}")
def packs(request: pytest.FixtureRequest) -> list[str]:
    """The packs of a project, which leaves some out."""
    return [pack for pack in PACKS if pack not in request.param]


@pytest.fixture(scope="module")
def project(packs: list[str], template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with these packs."""
    return make(template, tmp_path_factory.mktemp("project") / "mine", packs)


def test_a_project_without_some_packs_passes_its_checks_and_tests(project: Path) -> None:
    check(project)


def test_a_project_keeps_nothing_of_the_packs_it_leaves_out(project: Path, packs: list[str]) -> None:
    left_out = {*PACKS} - {*packs}
    paths = {path.relative_to(project) for path in project.rglob("*") if "__pycache__" not in path.parts}
    names = {part.partition(".")[0].removeprefix("test_") for path in paths for part in path.parts}
    marked = {
        name
        for _, text in texts(project)
        for each in re.findall(r" pack: ([a-z, ]+)", text)
        for name in each.split(", ")
    }
    described = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    models = run(project, sys.executable, "-c", "from app.pipelines import pipelines; print(*pipelines.models)").split()

    assert names & left_out == set()
    assert marked & left_out <= {"limits", "responses"}, "only lines of several packs may still name one of these"
    assert {*described.get("optional-dependencies", ())} == {extra for pack in packs for extra in EXTRAS.get(pack, [])}
    assert {*models} == {"echo", "echo-stream"} | {model for pack in packs for model in MODELS.get(pack, [])}


def test_a_project_names_no_setting_that_it_does_not_have(project: Path) -> None:
    listed = set(re.findall(r"^([A-Z_]+)=", (project / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    missing = {name.upper() for name in Settings.__struct_fields__} - listed
    named = [(name, each) for name, text in texts(project) for each in missing if re.search(rf"\b{each}\b", text)]

    elsewhere = [("Dockerfile", "PLAYGROUND"), ("docs/clients.md", "OPENAI_API_KEY")]  # harmless; Open WebUI's own
    assert [found for found in named if found not in elsewhere] == []


def test_a_project_has_its_own_name_and_the_licence_of_the_template(project: Path) -> None:
    described = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = [(name, word) for name, text in texts(project) for word in OURS if word in text.lower()]

    assert (described["name"], described["description"]) == ("mine", 'My "models".')
    assert described["authors"] == [{"name": "Ann"}]
    assert "license" not in described
    assert (project / "README.md").read_text(encoding="utf-8").startswith('# mine\n\nMy "models".\n')
    assert (ROOT / "LICENSE").read_text(encoding="utf-8") in (project / "NOTICE").read_text(encoding="utf-8")
    assert [found for found in ours if found[0] not in (".copier-answers.yml", "NOTICE", "requirements.lock")] == []


def test_a_project_may_keep_the_tests_of_the_template(template: Path, tmp_path: Path) -> None:
    assert not (make(template, tmp_path / "mine", PACKS) / "tests" / "template").exists()
    assert (make(template, tmp_path / "all", PACKS, tests="all") / "tests" / "template" / "e2e").is_dir()


def replace(path: Path, text: str, by: str) -> None:
    before = path.read_text(encoding="utf-8")
    assert before.count(text) == 1
    path.write_text(before.replace(text, by), encoding="utf-8")


def test_an_update_brings_improvements_and_keeps_what_the_owner_changed(template: Path, tmp_path: Path) -> None:
    run(tmp_path, "git", "clone", "--quiet", str(template), "template")
    origin, project = tmp_path / "template", tmp_path / "mine"
    make(origin, project, DEFAULT_PACKS)
    run(project, "git", "init", "--quiet")
    mine = (
        '\n\n@pipelines.model("mine")\n'
        "def mine(model: str, messages: Messages, body: Body) -> str:\n"
        '    return "Mine."\n'
    )
    with (project / "app" / "pipelines.py").open("a", encoding="utf-8") as file:
        file.write(mine)
    replace(project / "README.md", "Ask it with `curl`", "Ask it, please, with `curl`")
    commit(project, "mine")

    replace(
        origin / "app" / "pipelines.py",
        "Return the text of the last message: the",
        "Give the text of the last message: the",
    )
    replace(origin / ".scaffold" / "README.md", "In a container:", "In any container:")
    (origin / "app" / "web" / "improvement.py").write_text('"""New."""\n', encoding="utf-8")
    commit(origin, "v1.1.0")
    packs = [pack for pack in DEFAULT_PACKS if pack != "telemetry"] + ["examples"]
    python(project, "copier", "update", "--quiet", "--trust", "--defaults", f"--data=packs={packs}")

    pipelines = (project / "app" / "pipelines.py").read_text(encoding="utf-8")
    assert "Give the text of the last message" in pipelines
    assert "<<<<<<<" not in "".join(text for _, text in texts(project))
    assert pipelines.endswith(mine)
    assert (project / "app" / "web" / "improvement.py").exists()
    assert (project / "app" / "examples").is_dir()
    assert not (project / "app" / "telemetry").exists()
    assert "Ask it, please" in (project / "README.md").read_text(encoding="utf-8")
    assert "In any container" in (project / "README.md").read_text(encoding="utf-8")
    check(project)
