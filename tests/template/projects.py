"""Projects made of this template."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import copier
import yaml

from tests.conftest import ROOT

PACKS = sorted(yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))["packs"]["choices"].values())
ANSWERS = {"name": "mine", "description": 'My "models".', "owner": "Ann"}
CACHE = ROOT / ".mypy_cache" / "projects"  # of what projects have in common
GIT = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def run(folder: Path, *command: str, exit_code: int = 0) -> str:
    """Run a command without the environment of these tests, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV", "GIT_"))}
    done = subprocess.run(  # noqa: S603 - our own commands
        command,
        cwd=folder,
        env=environment | GIT | {"MYPY_CACHE_DIR": str(CACHE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == exit_code, done.stdout
    return done.stdout


def python(folder: Path, module: str, *arguments: str) -> str:
    return run(folder, sys.executable, "-m", module, *arguments)


def commit(folder: Path, tag: str) -> None:
    for command in (["add", "--all"], ["commit", "--quiet", "--no-verify", f"--message={tag}"], ["tag", tag]):
        run(folder, "git", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false", *command)


def copy_template(folder: Path) -> Path:
    """Copy this repository as it is in the working tree, commit and tag it."""
    files = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in files.rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    run(folder, "git", "init", "--quiet")
    commit(folder, "v1.0.0")
    return folder


def begin_with_what_mypy_knows() -> None:
    """Give projects mypy's cache of this repository, unless they have one: most of it is about packages."""
    if CACHE.parent.is_dir() and not CACHE.exists():
        shutil.copytree(CACHE.parent, CACHE, ignore=shutil.ignore_patterns(CACHE.name))


def make(template: Path, folder: Path, packs: list[str] | None = None, **answers: object) -> Path:
    """Make a project with these packs, or with those that are chosen by default."""
    given = {**ANSWERS, **answers} | ({} if packs is None else {"packs": packs})
    copier.run_copy(str(template), folder, given, defaults=True, unsafe=True)
    return folder


def ask(project: Path, model: str) -> str:
    """Return what a model of a project answers."""
    code = (
        "from litestar.testing import TestClient; from app.app import create_app\n"
        f"body = {{'model': {model!r}, 'messages': [{{'role': 'user', 'content': 'Still here.'}}]}}\n"
        "with TestClient(create_app()) as client: print(client.post('/v1/chat/completions', json=body).text)"
    )
    return run(project, sys.executable, "-c", code)


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the names and contents of a project's own text files."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".png")):
        if not any(part in (".git", "vendor") or part.endswith("_cache") for part in path.parts):
            yield path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")
