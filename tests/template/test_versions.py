"""`uv run` and the image install the versions that were tested, on any day."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILES = ("pyproject.toml", "requirements.lock", "justfile")


@pytest.mark.skipif(not shutil.which("uv"), reason="needs uv")
def test_a_clone_resolves_to_the_versions_of_the_lock_and_writes_them_as_they_are(tmp_path: Path) -> None:
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    for command in (["uv", "lock", "--quiet"], [str(Path(sys.executable).parent / "just"), "lock"]):
        subprocess.run(command, cwd=tmp_path, check=True)  # noqa: S603 - our own commands
    assert [name for name in FILES if (tmp_path / name).read_bytes() != (ROOT / name).read_bytes()] == []
