"""The Dockerfile's own steps, in a folder instead of an image: what it installs and copies is enough to serve."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.template.e2e.connection import says
from tests.template.e2e.server import Server

pytestmark = pytest.mark.skipif(not shutil.which("uv"), reason="needs uv, which the Dockerfile installs")

IGNORED = shutil.ignore_patterns("__pycache__")
BUILD, FINAL = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("\n\n")


def steps(stage: str, *names: str) -> Iterator[tuple[str, str]]:
    """The instructions of a stage that have one of these names, and their arguments."""
    for line in stage.splitlines():
        name, _, arguments = line.partition(" ")
        if name in names:
            yield name, arguments


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first stage makes in its folder, without uv."""
    folder = tmp_path_factory.mktemp("image")
    outside = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    ((_, variables),) = steps(BUILD, "ENV")
    inside = outside | dict(variable.split("=") for variable in variables.split()) | {"UV_NO_CACHE": "0"}
    for name, arguments in steps(BUILD, "COPY", "RUN"):
        if name == "COPY":
            copy(arguments.split(), folder)
        elif not arguments.startswith("pip install "):
            subprocess.run(arguments, shell=True, cwd=folder, env=inside, check=True)  # noqa: S602 - our own command
    return folder


def copy(names: list[str], folder: Path) -> None:
    """Copy as the instruction does: a folder to its name, files into a folder."""
    *sources, target = names
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / target, ignore=IGNORED)
        else:
            shutil.copy(ROOT / source, folder / target)


class Container(Server):
    """The command of the image in its folder."""

    def __init__(self, log: Path, image: Path) -> None:
        self.folder = image
        super().__init__(log)

    def _command(self, *options: str) -> list[str]:
        ((_, command),) = steps(FINAL, "CMD")
        return [*in_image(self.folder, command), "--port", str(self.port)]


@pytest.fixture(scope="module")
def container(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    with Container(tmp_path_factory.mktemp("container") / "log", image) as running:
        yield running


def in_image(image: Path, command: str) -> list[str]:
    """A command in exec form, whose program is the image's."""
    program, *arguments = json.loads(command)
    return [str(image / ".venv" / "bin" / program), *arguments]


def test_the_image_serves_with_the_packages_that_serving_needs_alone(image: Path, container: Container) -> None:
    with container.openai() as client:
        completion = client.chat.completions.create(model="echo", messages=says("Hello!"))

    assert completion.choices[0].message.content == "Hello!"
    assert not (image / ".venv" / "bin" / "pytest").exists()


def test_the_server_is_in_no_group_of_root_and_can_write_no_file_of_the_image(image: Path) -> None:
    ((_, user),) = steps(FINAL, "USER")
    assert re.fullmatch(r"([1-9]\d*):\1", user)
    ((_, copied),) = steps(FINAL, "COPY")
    assert "--chown=0:0" in copied
    ours = [path for name in ("app", "controllers", "schemas") for path in (image / name, *(image / name).rglob("*"))]
    assert {path.stat().st_mode & 0o226 for path in ours} == {0o004}
    assert not [path for path in image.rglob("*.py") if path.stat().st_mode & 0o022]


def test_its_health_check_tells_whether_it_serves(image: Path, container: Container) -> None:
    ((_, check),) = steps(FINAL, "HEALTHCHECK")
    ((_, port),) = steps(FINAL, "EXPOSE")
    command = check.partition("CMD ")[2]

    def succeeds(at: int) -> bool:
        ended = subprocess.run(  # noqa: S603 - the image's own command
            in_image(image, command.replace(f":{port}/", f":{at}/")), stderr=subprocess.DEVNULL, check=False
        )
        return ended.returncode == 0

    assert (succeeds(container.port), succeeds(1)) == (True, False)


def test_the_context_holds_what_the_image_copies_and_nothing_else() -> None:
    everything, *kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = {source for _, arguments in steps(BUILD, "COPY") for source in arguments.split()[:-1]}

    assert everything == "*"
    assert {name.removeprefix("!") for name in kept if name.startswith("!")} == copied
