"""What copier makes of this repository is a project that passes its own tests, and can be updated."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git, as copier does")

ROOT = Path(__file__).parents[1]
EXTRAS = ["local", "metrics", "otel", "ray", "redis"]
MODELS = ["tools", "reasoning", "events", "rag", "chat"]
LEAST: dict[str, Any] = {
    "name": "mine",
    "description": 'My "models".',
    "owner": "Ann",
    "extras": [],
    "models": [],
}
ALL = LEAST | {"extras": EXTRAS, "models": MODELS}
OURS = ("starter", "benchmark", "fastapi-openai-compat", "copier.yml", ".scaffold")
GIT = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def environment() -> dict[str, str]:
    """The environment without what tells a process that it is one of these tests, or that it is measured."""
    inside = ("PYTEST_", "COV", "GIT_")
    return {name: value for name, value in os.environ.items() if not name.startswith(inside)} | GIT


def run(folder: Path, *command: str) -> str:
    """What a command prints that succeeds."""
    done = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def python(folder: Path, module: str, *arguments: str) -> str:
    """What a module of this environment prints, in a folder."""
    return run(folder, sys.executable, "-m", module, *arguments)


def commit(folder: Path, tag: str) -> None:
    """Commit everything there is."""
    for command in (["add", "--all"], ["commit", "--quiet", "--no-verify", f"--message={tag}"], ["tag", tag]):
        run(folder, "git", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false", *command)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as it is now, with its first version."""
    folder = tmp_path_factory.mktemp("template")
    files = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in files.rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    run(folder, "git", "init", "--quiet")
    commit(folder, "v1.0.0")
    return folder


def scaffold(template: Path, folder: Path, answers: Mapping[str, Any]) -> Path:
    """The project that copier makes with these answers."""
    given = [f"--data={name}={value}" for name, value in answers.items()]
    python(template, "copier", "copy", "--quiet", "--trust", "--defaults", *given, str(template), str(folder))
    return folder


@pytest.fixture(scope="module")
def least(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scaffold(template, tmp_path_factory.mktemp("least") / "mine", LEAST)


@pytest.fixture(scope="module")
def whole(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scaffold(template, tmp_path_factory.mktemp("all") / "mine", ALL)


@pytest.fixture(params=["least", "whole"])
def project(request: pytest.FixtureRequest) -> Path:
    """The project with the least answers, and that with all."""
    folder: Path = request.getfixturevalue(request.param)
    return folder


def settings_of(project: Path) -> set[str]:
    """The settings that a project lists in its example of an `.env`."""
    return set(re.findall(r"^([A-Z_]+)=", (project / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """The files of a project and what is in them."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".pyc")):
        if not any(part.endswith("_cache") for part in path.parts):
            yield path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")


def test_a_project_is_well_formed_and_typed_and_keeps_the_import_contracts(project: Path) -> None:
    python(project, "ruff", "format", "--check", ".")
    python(project, "ruff", "check", ".")
    python(project, "mypy")
    run(project, str(Path(sys.executable).parent / "lint-imports"))


def test_what_makes_a_project_is_typed() -> None:
    python(ROOT, "mypy", "--strict", ".scaffold/make.py")


def test_a_project_says_nothing_of_what_it_was_made_from(project: Path) -> None:
    of_copier = (".copier-answers.yml", "NOTICE", "requirements.lock")
    told = [(name, word) for name, text in texts(project) for word in OURS if word in text.lower()]

    assert [(name, word) for name, word in told if name not in of_copier] == []
    assert not {"copier.yml", ".scaffold", ".ci", "docs", "LICENSE"} & {path.name for path in project.iterdir()}
    assert "litestar-openai-starter" not in (project / "requirements.lock").read_text(encoding="utf-8")


def test_a_project_bears_its_own_name_and_the_licence_of_the_code_it_was_made_from(project: Path) -> None:
    described = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert (described["name"], described["description"]) == ("mine", 'My "models".')
    assert described["authors"] == [{"name": "Ann"}]
    assert "license" not in described
    assert (project / "README.md").read_text(encoding="utf-8").startswith('# mine\n\nMy "models".\n')
    assert (ROOT / "LICENSE").read_text(encoding="utf-8") in (project / "NOTICE").read_text(encoding="utf-8")


def test_a_project_has_the_extras_and_the_examples_that_were_chosen_and_no_others(least: Path, whole: Path) -> None:
    for project, extras, models in ((least, [], []), (whole, EXTRAS, [*MODELS, "local"])):
        described = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        code = "from app.pipelines import pipelines; print(*pipelines.models)"
        assert sorted(described["optional-dependencies"]) == extras
        assert set(run(project, sys.executable, "-c", code).split()) == {"echo", "echo-stream", *models}


def test_a_project_names_no_setting_that_it_has_not(least: Path) -> None:
    gone = {name.upper() for name in Settings.__struct_fields__} - settings_of(least)
    assert {"METRICS", "REDIS_URL"} <= gone

    named = [(name, each) for name, text in texts(least) for each in gone if re.search(rf"\b{each}\b", text)]

    assert named == []


@pytest.mark.parametrize(
    "name",
    ["app/telemetry/metrics.py", "app/telemetry/tracing.py", "app/ray.py", "app/local/model.py", "app/haystack/rag.py"],
)
def test_what_was_not_chosen_leaves_no_module_behind(least: Path, whole: Path, name: str) -> None:
    assert ((whole / name).exists(), (least / name).exists()) == (True, False)


def test_the_project_with_the_least_passes_its_tests(least: Path) -> None:
    folders = [
        "tests/template/app",
        "tests/template/controllers",
        "tests/template/schemas",
        "tests/test_conformance.py",
    ]
    slow = [
        f"--ignore=tests/template/app/{name}" for name in ("haystack", "completions")
    ]  # in which nothing was changed

    assert " passed" in python(least, "pytest", "--quiet", "-p", "no:cacheprovider", *folders, *slow)


def test_the_project_with_everything_passes_its_tests(whole: Path) -> None:
    files = [f"tests/template/app/test_{name}.py" for name in ("app", "pipelines", "settings", "rag")]

    assert " passed" in python(whole, "pytest", "--quiet", "-p", "no:cacheprovider", *files)


def replace(path: Path, text: str, by: str) -> None:
    """Change a file in which this text is, once."""
    before = path.read_text(encoding="utf-8")
    assert before.count(text) == 1
    path.write_text(before.replace(text, by), encoding="utf-8")


def test_an_update_brings_improvements_and_keeps_what_its_owner_changed(template: Path, tmp_path: Path) -> None:
    run(tmp_path, "git", "clone", "--quiet", str(template), "template")
    origin, project = tmp_path / "template", tmp_path / "mine"
    scaffold(origin, project, LEAST | {"extras": ["redis"], "models": ["events"]})
    run(project, "git", "init", "--quiet")
    mine = '\n\n@pipelines.model("mine")\ndef mine() -> object:\n    return lambda model, messages, body: "Mine."\n'
    with (project / "app" / "pipelines.py").open("a", encoding="utf-8") as file:
        file.write(mine)
    replace(project / "README.md", "Ask it:", "Ask it, please:")
    (project / "app" / "own.py").write_text("METRICS = 1\n", encoding="utf-8")
    commit(project, "mine")

    replace(origin / "app" / "pipelines.py", "A function that returns text: the whole", "A better function: the whole")
    replace(origin / "app" / "metrics.py", '"""Figures for', '"""Better figures for')
    replace(origin / ".scaffold" / "README.md", "In a container:", "In any container:")
    (origin / "app" / "improvement.py").write_text('"""New."""\n', encoding="utf-8")
    commit(origin, "v1.1.0")
    python(project, "copier", "update", "--quiet", "--trust", "--defaults")

    pipelines = (project / "app" / "pipelines.py").read_text(encoding="utf-8")
    assert "A better function" in pipelines
    assert pipelines.endswith(mine)
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert ("Ask it, please:" in readme, "In any container:" in readme) == (True, True)
    changed = {line[3:] for line in run(project, "git", "status", "--porcelain").splitlines()}
    assert changed == {".copier-answers.yml", "README.md", "app/improvement.py", "app/pipelines.py"}
    assert '_commit: "v1.1.0"' in (project / ".copier-answers.yml").read_text(encoding="utf-8")
