"""A project made of this template, with any packs, passes its own checks and tests, and installs what it names."""

import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from app.settings import Settings
from tests.conftest import ROOT
from tests.template.e2e.image import build
from tests.template.e2e.test_readme import missing
from tests.template.projects import PACKS, ask, begin_with_what_mypy_knows, copy_template, make, python, run, texts

LEFT_OUT = [  # packs that share code are in different lists
    ["agents", "haystack", "limits", "playground", "ray"],
    ["embeddings", "examples", "local", "responses", "telemetry"],
    PACKS,
]
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
GENERAL = ("clients", "extending", "models", "production", "security")  # pages that every project has
OURS = ("starter", "benchmark", "fastapi-openai-compat", "copier.yml", ".scaffold", "tests/template")


def check(project: Path) -> None:
    """Run the checks and tests of a project, and ask its model `echo`."""
    python(project, "ruff", "format", "--check", ".")
    python(project, "ruff", "check", ".")
    python(project, "mypy")
    run(project, str(Path(sys.executable).parent / "lint-imports"))
    slow = "not rag and not local"  # `rag` imports Haystack, which takes seconds, and `local` loads a language model
    assert " passed" in python(project, "pytest", "--quiet", "-p", "no:cacheprovider", "-k", slow)
    assert '"Still here."' in ask(project, "echo")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    begin_with_what_mypy_knows()
    return copy_template(tmp_path_factory.mktemp("template"))


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
    found = [each for _, text in texts(project) for each in re.findall(r" pack: ([a-z]+(?:, [a-z]+)*)", text)]
    marks = [{*each.split(", ")} for each in found]
    described = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    models = run(project, sys.executable, "-c", "from app.pipelines import pipelines; print(*pipelines.models)").split()

    assert names & (left_out | {"template", "benchmarks"}) == set()
    assert [packs for packs in marks if packs <= left_out | {"template"}] == []
    assert {*described.get("optional-dependencies", ())} == {extra for pack in packs for extra in EXTRAS.get(pack, [])}
    assert {*models} == {"echo", "echo-stream"} | {model for pack in packs for model in MODELS.get(pack, [])}


def test_a_project_names_no_setting_that_it_does_not_have(project: Path) -> None:
    listed = set(re.findall(r"^([A-Z_]+)=", (project / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    missing = {name.upper() for name in Settings.__struct_fields__} - listed
    named = [(name, each) for name, text in texts(project) for each in missing if re.search(rf"\b{each}\b", text)]

    elsewhere = [("docs/clients.md", "OPENAI_API_KEY")]  # Open WebUI's own
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


def test_its_pages_name_only_what_it_has(project: Path, packs: list[str]) -> None:
    pages = [project / "README.md", *(project / "docs").glob("*.md")]
    assert {page.name: found for page in pages if (found := missing(page, project))} == {}
    readme = pages[0].read_text(encoding="utf-8")
    words = {"responses": "Responses API", "haystack": "Haystack", "playground": "playground", "telemetry": "Metrics"}
    texts = {page.name: page.read_text(encoding="utf-8") for page in pages[1:] if page.stem in GENERAL}
    unknown = {word for pack, word in words.items() if pack not in packs}
    assert [(page, word) for page, text in texts.items() for word in unknown if word in text] == []
    assert [page.name for page in pages[1:] if f"(docs/{page.name})" not in readme] == []


@pytest.mark.skipif(not shutil.which("uv"), reason="needs uv")
def test_it_holds_the_versions_of_what_it_can_install_and_its_image_installs_all_of_that(
    project: Path, packs: list[str], tmp_path: Path
) -> None:
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(project / name, tmp_path)
    resolved = run(tmp_path, "uv", "export", "--quiet", "--no-header", "--no-hashes", "--no-annotate", "--all-extras")
    held = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
    extras = {extra for pack in packs for extra in EXTRAS.get(pack, [])}

    assert versions(held["constraint-dependencies"]) == versions(resolved.splitlines())
    assert versions((project / "requirements.lock").read_text(encoding="utf-8").splitlines()) == versions(
        resolved.splitlines()
    )
    assert f'ARG EXTRAS="{" ".join(sorted(extras))}"\n' in (project / "Dockerfile").read_text(encoding="utf-8")
    (image := tmp_path / "image").mkdir()
    build(project, image, "uv pip install --dry-run")


def versions(lines: list[str]) -> set[str]:
    """The versions in lines of requirements, without their conditions: who needs a package decides on those."""
    return {line.split()[0] for line in lines if "==" in line.split(";")[0]}


def test_a_project_may_keep_the_tests_of_the_template(template: Path, tmp_path: Path) -> None:
    assert (make(template, tmp_path / "all", PACKS, tests="all") / "tests" / "template" / "e2e").is_dir()
