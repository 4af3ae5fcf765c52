"""The steps of a Dockerfile in a folder instead of an image, as there is no Docker where the tests run."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.template.e2e.server import Server

IGNORED = shutil.ignore_patterns("__pycache__")
IN_HASTE = {"UV_NO_CACHE": "0", "UV_COMPILE_BYTECODE": "0", "UV_QUIET": "1"}


def steps(project: Path, stage: int, *names: str) -> Iterator[tuple[str, str]]:
    """The instructions of a stage that have one of these names, and their arguments."""
    stages = (project / "Dockerfile").read_text(encoding="utf-8").split("\n\nFROM ")
    for line in stages[stage].splitlines():
        name, _, arguments = line.partition(" ")
        if name in names:
            yield name, arguments


def build(project: Path, folder: Path, install: str = "uv pip install") -> Path:
    """Make in the folder what the first stage does, without uv, and return it."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    for _, variables in steps(project, 0, "ENV", "ARG"):
        environment |= dict(variable.split("=", 1) for variable in shlex.split(variables))
    for name, arguments in steps(project, 0, "COPY", "RUN"):
        if name == "COPY":
            copy(arguments.split(), project, folder)
        elif not arguments.startswith("pip install "):
            command = arguments.replace("uv pip install", install)
            subprocess.run(command, shell=True, cwd=folder, env=environment | IN_HASTE, check=True)  # noqa: S602 - ours
    return folder


def copy(names: list[str], project: Path, folder: Path) -> None:
    """Copy as the instruction does: a folder to its name, files into a folder."""
    *sources, target = names
    for source in sources:
        if (project / source).is_dir():
            shutil.copytree(project / source, folder / target, ignore=IGNORED)
        else:
            shutil.copy(project / source, folder / target)


class Container(Server):
    """The command of the image in its folder."""

    def __init__(self, log: Path, project: Path, image: Path, **settings: str) -> None:
        self.project, self.folder = project, image
        super().__init__(log, **settings)

    def _command(self, *options: str) -> list[str]:
        ((_, command),) = steps(self.project, 1, "CMD")
        return [*in_image(self.folder, command), "--port", str(self.port)]


def in_image(image: Path, command: str) -> list[str]:
    """A command in exec form, whose program is the image's."""
    program, *arguments = json.loads(command)
    return [str(image / ".venv" / "bin" / program), *arguments]
