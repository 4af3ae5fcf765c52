"""The Dockerfile's own steps, in a folder instead of an image: what it installs and copies is enough to serve."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.template.e2e.connection import says
from tests.template.e2e.image import Container, build, in_image, steps

pytestmark = pytest.mark.skipif(not shutil.which("uv"), reason="needs uv, which the Dockerfile installs")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def container(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    with Container(tmp_path_factory.mktemp("container") / "log", ROOT, image) as running:
        yield running


def test_the_image_serves_with_the_packages_that_serving_needs_alone(image: Path, container: Container) -> None:
    with container.openai() as client:
        completion = client.chat.completions.create(model="echo", messages=says("Hello!"))

    assert completion.choices[0].message.content == "Hello!"
    assert not (image / ".venv" / "bin" / "pytest").exists()
    said = re.search(r"about (\d+)\s+packages", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert said
    assert len([*image.rglob("*.dist-info")]) == pytest.approx(int(said[1]), abs=5)


def test_the_server_is_in_no_group_of_root_and_can_write_no_file_of_the_image(image: Path) -> None:
    ((_, user),) = steps(ROOT, 1, "USER")
    assert re.fullmatch(r"([1-9]\d*):\1", user)
    ((_, copied),) = steps(ROOT, 1, "COPY")
    assert "--chown=0:0" in copied
    ours = [path for name in ("app", "controllers", "schemas") for path in (image / name, *(image / name).rglob("*"))]
    assert {path.stat().st_mode & 0o226 for path in ours} == {0o004}
    assert not [path for path in image.rglob("*.py") if path.stat().st_mode & 0o022]


def test_its_health_check_tells_whether_it_serves(image: Path, container: Container) -> None:
    ((_, check),) = steps(ROOT, 1, "HEALTHCHECK")
    ((_, port),) = steps(ROOT, 1, "EXPOSE")
    command = check.partition("CMD ")[2]

    def succeeds(at: int) -> bool:
        ended = subprocess.run(  # noqa: S603 - the image's own command
            in_image(image, command.replace(f":{port}/", f":{at}/")), stderr=subprocess.DEVNULL, check=False
        )
        return ended.returncode == 0

    assert (succeeds(container.port), succeeds(1)) == (True, False)


def test_the_context_holds_what_the_image_copies_and_nothing_else() -> None:
    everything, *kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = {source for _, arguments in steps(ROOT, 0, "COPY") for source in arguments.split()[:-1]}

    assert everything == "*"
    assert {name.removeprefix("!") for name in kept if name.startswith("!")} == copied
