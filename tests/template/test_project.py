"""A project with the packs that are chosen by default: its image serves, it knows its origin, and it can be updated."""

import os
import re
import shutil
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from copier.errors import TaskError

from tests.conftest import ROOT
from tests.template.e2e.connection import says
from tests.template.e2e.image import Container, build
from tests.template.projects import ask, commit, copy_template, make, run, texts

ADDRESS = "https://git.example.com/them/starter"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_template(tmp_path_factory.mktemp("origin"))


@pytest.fixture(scope="module")
def clone(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the template, by an address that has a token."""
    folder = tmp_path_factory.mktemp("clone")
    run(folder, "git", "clone", "--quiet", str(origin), ".")
    run(folder, "git", "remote", "set-url", "origin", ADDRESS.replace("://", "://me:token@"))
    return folder


@pytest.fixture(scope="module")
def project(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(clone, tmp_path_factory.mktemp("project") / "mine")


@pytest.mark.skipif(not shutil.which("uv"), reason="needs uv, which the Dockerfile installs")
def test_its_image_has_what_was_chosen(project: Path, tmp_path: Path) -> None:
    (image := tmp_path / "image").mkdir()
    with (
        Container(tmp_path / "log", project, build(project, image), METRICS="true", TRACING="true") as running,
        running.openai() as client,
    ):
        completion = client.chat.completions.create(model="echo", messages=says("Hello!"))
        assert completion.choices[0].message.content == "Hello!"
        assert 'completions_total{ended="done",model="echo"} 1.0' in httpx.get(f"{running.url}/metrics").text


def test_it_names_the_origin_of_a_clone_without_its_token(project: Path) -> None:
    assert source(project) == f"git+{ADDRESS}"


def test_it_names_the_origin_of_a_clone_by_ssh_with_its_user(origin: Path, tmp_path: Path) -> None:
    address = "ssh://git@git.example.com/them/starter.git"
    for cloned, clone in ((origin, "clone"), ("clone", "copiers")):
        run(tmp_path, "git", "clone", "--quiet", str(cloned), clone)
    run(tmp_path / "clone", "git", "remote", "set-url", "origin", address)
    (tmp_path / ".copier-answers.yml").write_text("_src_path: clone\n", encoding="utf-8")
    scaffold = "import sys; sys.path.append('copiers/.scaffold'); import finish; finish.name_origin()"
    run(tmp_path, sys.executable, "-c", scaffold)
    assert source(tmp_path) == address


def test_it_cannot_be_called_like_a_package_that_it_needs(
    origin: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TaskError):
        make(origin, tmp_path / "mine", [], name="jiter")
    assert "jiter is the name of a package that the project may need" in capfd.readouterr().err
    assert not (tmp_path / "mine").exists()


def test_it_names_the_folder_that_has_no_origin_and_says_what_to_do_next(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(origin)
    project = make(Path(), tmp_path / "my project", ["local"])

    assert source(project) == str(origin)
    said = capfd.readouterr().err
    first, _, serve, test, *_ = re.findall(r"^ {2}(.+)$", said, re.MULTILINE)
    assert f"Updates will come from the folder {origin}, which colleagues and CI cannot reach" in said
    assert first == f"cd '{project}'"
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert (serve, test) == ("uv run --no-dev --extra local litestar run", "uv run --extra local pytest")
    assert f"&& {serve}\n" in readme
    assert f"&& {test}\n" in readme


def test_new_passes_on_its_options_as_they_are(tmp_path: Path) -> None:
    (uvx := tmp_path / "uvx").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n", encoding="utf-8")
    uvx.chmod(0o755)
    path = f"PATH={tmp_path}:{os.environ['PATH']}"
    just = str(Path(sys.executable).parent / "just")
    said = run(ROOT, "env", path, just, "new", f"{tmp_path}/mine", "--data", "description=a b", "--defaults")
    assert said.splitlines()[-5:] == ["--data", "description=a b", "--defaults", str(ROOT), f"{tmp_path}/mine"]


def source(project: Path) -> str:
    """Where a project says it comes from."""
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    return str(answers["_src_path"])


def replace(path: Path, text: str, by: str) -> None:
    before = path.read_text(encoding="utf-8")
    assert before.count(text) == 1
    path.write_text(before.replace(text, by), encoding="utf-8")


def test_an_update_brings_improvements_and_keeps_what_the_owner_changed(
    origin: Path, project: Path, tmp_path: Path
) -> None:
    run(project, "git", "init", "--quiet")
    mine = (
        '\n\n@pipelines.model("mine")\n'
        "def mine(model: str, messages: Messages, body: Body) -> str:\n"
        '    return f"Mine: {messages[0]}"\n'
    )
    model, hooks = re.findall(r"```python\n(.*?)```", (project / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    with (project / "app" / "pipelines.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\n{model}{mine}")
    with (project / "app" / "extensions.py").open("a", encoding="utf-8") as file:
        file.write(hooks)
    replace(project / "README.md", "Ask it with `curl`", "Ask it, please, with `curl`")
    commit(project, "mine")

    replace(
        origin / "app" / "pipelines.py",
        "Return the text of the last message: the",
        "Give the text of the last message: the",
    )
    replace(origin / ".scaffold" / "README.md", "## In a container", "## In any container")
    (origin / "app" / "web" / "improvement.py").write_text('"""New."""\n', encoding="utf-8")
    commit(origin, "v1.1.0")
    (settings := tmp_path / "gitconfig").write_text(f'[url "{origin}"]\ninsteadOf = {ADDRESS}\n', encoding="utf-8")
    packs = ["haystack", "playground", "responses", "examples", "embeddings"]
    update = ["-m", "copier", "update", "--quiet", "--trust", "--defaults", f"--data=packs={packs}"]
    run(project, "env", f"GIT_CONFIG_GLOBAL={settings}", sys.executable, *update)

    pipelines = (project / "app" / "pipelines.py").read_text(encoding="utf-8")
    assert "Give the text of the last message" in pipelines
    assert "<<<<<<<" not in "".join(text for _, text in texts(project))
    assert pipelines.endswith(mine)
    assert (project / "app" / "web" / "improvement.py").exists()
    assert (project / "app" / "examples").is_dir()
    assert not (project / "app" / "telemetry").exists()
    assert source(project) == f"git+{ADDRESS}"
    assert "Ask it, please" in (project / "README.md").read_text(encoding="utf-8")
    assert "In any container" in (project / "README.md").read_text(encoding="utf-8")
    assert "STILL HERE." in ask(project, "shout")
    assert "Mine: {'role': 'system', 'content': 'Be polite.'}" in ask(project, "mine")
