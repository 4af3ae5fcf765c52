"""The README and the pages of `docs/` are true: what they show runs, and what they name is there.

A block whose fence says `not run: …`, and why, is only read. Every other block of code is run, as it is but for the
port: the shell starts a server if it says `litestar run`, and else asks one; Python that registers models or extends
the application is served and asked, and else asks itself.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from litestar.testing import TestClient
from msgspec import Struct
from openai import OpenAI

from app import extensions
from app import pipelines as project
from app.app import create_app
from app.registry import Pipelines
from app.settings import Settings
from tests.conftest import KEY, PATIENCE, ROOT, openai_of
from tests.template.e2e.connection import says
from tests.template.e2e.server import Server

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
CODE = {"sh", "python", "js"}  # all other blocks are data or drawings
YOURS = (ROOT / "app" / "pipelines.py").read_text(encoding="utf-8")  # the file that blocks are pasted into
IMPORTED = "\n".join([*re.findall(r"^from .*", YOURS, re.MULTILINE), "from app.pipelines import pipelines"])
URL = "http://127.0.0.1:8000"
INSTALLING = "pip install uv && "  # by which this very test was started
FENCE = re.compile(r"^```(\w*)(?: not run: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EMBEDS = re.compile(r"\bpipelines\.embedder(?:_factory)?\(")
REGISTERS = re.compile(r"\bpipelines\.(?:model|add|factory|embedder|embedder_factory)\(\s*\"([^\"]+)\"")
ROUTE = re.compile(r"@(get|post)\(\"([^\"]+)\"")
ROUTER = re.compile(r"Router\(\s*\"/([^\"]+)\"")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
OUR_FILE = re.compile(r"(?<![\w/.])((?:app|controllers|docs|schemas|tests)/[\w./-]*\w)\b(?!\.\*)")
RECIPE = re.compile(r"uv run just ([a-z]+)")
SETTING = re.compile(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`)? ?\|", re.MULTILINE)


class Block(Struct, frozen=True):
    """A block of code in a page."""

    place: str
    language: str
    text: str
    reason: str | None  # why it is not run

    def __str__(self) -> str:
        return self.place

    @property
    def models(self) -> list[str]:
        """The models that it registers."""
        return REGISTERS.findall(self.text) if self.language == "python" else []

    @property
    def as_module(self) -> str:
        """Its code, with the imports of the file that it is pasted into if it has none."""
        return self.text if "import" in self.text else f"{IMPORTED}\n{self.text}"

    @property
    def kind(self) -> str:
        """How it is run."""
        if self.reason:
            return "read"
        if self.language == "sh":
            return "starting" if "litestar run" in self.text else "asking"
        if "from app.extensions import" in self.text:
            return "extension"
        return "models" if self.models else "asking"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for fence in FENCE.finditer(text):
        language, reason, body = fence.groups()
        line = text.count("\n", 0, fence.start()) + 1
        yield Block(f"{page.name}:{line}", language, body, reason)


BLOCKS = [block for page in PAGES for block in blocks_of(page) if block.language in CODE]


def of_kind(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == kind], ids=str)


class Started(Server):
    """A server that a block of the shell starts."""

    block: Block

    def _command(self, *_: str) -> list[str]:
        command = self.block.text.strip().removeprefix(INSTALLING)
        return ["env", f"LITESTAR_PORT={self.port}", "UV_NO_SYNC=1", "sh", "-ec", f"exec {command}"]


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """A client of a server with all models that the pages register."""
    folder = tmp_path_factory.mktemp("documented")
    blocks = [block for block in BLOCKS if block.kind == "models"]
    for number, block in enumerate(blocks):
        (folder / f"block{number}.py").write_text(f"# {block}\n{block.as_module}", encoding="utf-8")
    imports = "".join(f"import block{number}\n" for number in range(len(blocks)))
    (folder / "documented.py").write_text(f"{imports}from app.app import create_app\n", encoding="utf-8")
    with (
        Server(folder / "log", app="documented:create_app", PYTHONPATH=str(folder)) as server,
        server.openai() as client,
    ):
        yield client


def answer_of(client: OpenAI, model: str) -> str:
    """What a model answers, which is the same in both modes."""
    question = says("Hello there, world")
    whole = client.chat.completions.create(model=model, messages=question).choices[0].message.content
    chunks = client.chat.completions.create(model=model, messages=question, stream=True)
    streamed = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert whole == streamed
    return streamed


@of_kind("starting")
def test_a_command_starts_a_server(block: Block, tmp_path: Path) -> None:
    started = type("OfThisBlock", (Started,), {"block": block})
    with started(tmp_path / "log") as server:
        assert server.models()


@of_kind("asking")
def test_a_block_that_asks_a_server_is_answered(block: Block, shipped: Server, tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n", encoding="utf-8")
    shell = ["sh", "-ec"] if block.language == "sh" else [sys.executable, "-c"]
    asked = {"CURL_HOME": str(tmp_path), "ASK_URL": f"{shipped.url}/v1", "UV_NO_SYNC": "1"}

    ended = subprocess.run(  # noqa: S603 - the README's own command
        [*shell, block.text.replace(URL, shipped.url)],
        cwd=ROOT,
        env=os.environ | asked,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.strip()
    assert '"error"' not in ended.stdout


@of_kind("models")
def test_a_model_answers(block: Block, documented: OpenAI) -> None:
    for model in block.models:
        if EMBEDS.search(block.text):
            assert documented.embeddings.create(model=model, input="Hello there, world").data[0].embedding, model
        else:
            assert answer_of(documented, model), model


@of_kind("extension")
def test_an_extended_application_answers(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", KEY)
    monkeypatch.setattr(project, "pipelines", registry := Pipelines())
    registry.add("echo", project.echo)
    for name in extensions.__annotations__:
        monkeypatch.setattr(extensions, name, type(getattr(extensions, name))())
    monkeypatch.syspath_prepend(tmp_path)
    name = re.sub(r"\W", "_", str(block))
    (tmp_path / f"{name}.py").write_text(block.text, encoding="utf-8")
    import_module(name)
    with TestClient(create_app()) as http:
        http.headers["authorization"] = f"Bearer {KEY}"
        for path in ["", *ROUTER.findall(block.text)]:
            client = openai_of(http).with_options(base_url=f"{http.base_url}/{path}/v1")
            assert answer_of(client, client.models.list().data[0].id)
        for method, path in ROUTE.findall(block.text):
            http.request(method, path, json={"text": "Hello!"} if method == "post" else None).raise_for_status()


@of_kind("read")
def test_python_that_is_not_run_is_python(block: Block) -> None:
    if block.language == "python":
        compile(block.text, block.place, "exec")
    assert len(str(block.reason).split()) > 3, "a reason is a sentence"


def test_there_are_blocks_of_every_kind_and_none_is_lost() -> None:
    assert {block.kind for block in BLOCKS} == {"read", "starting", "asking", "models", "extension"}
    fences = sum(page.read_text(encoding="utf-8").count("\n```") for page in PAGES)
    assert fences == 2 * sum(len(FENCE.findall(page.read_text(encoding="utf-8"))) for page in PAGES)
    assert not [block.place for block in BLOCKS if block.language == "js" and block.kind != "read"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_file_and_recipe_that_is_named_is_there(page: Path) -> None:
    assert missing(page, ROOT) == []


def test_the_table_has_all_settings_with_their_defaults() -> None:
    listed = dict(SETTING.findall((ROOT / "docs" / "settings.md").read_text(encoding="utf-8")))

    assert sorted(listed) == sorted(name.upper() for name in Settings.__struct_fields__)
    assert Settings.load(listed) == Settings()


def missing(page: Path, project: Path) -> list[str]:
    """The links, files and recipes that a page of a project names and the project does not have."""
    text = page.read_text(encoding="utf-8")
    recipes = re.findall(r"^([a-z]+)\b.*:(?!=)", (project / "justfile").read_text(encoding="utf-8"), re.MULTILINE)
    targets = [(page.parent / path if path else page, anchor) for path, anchor in LINK.findall(prose_of(page))]
    return [
        *(
            f"{path}#{anchor}"
            for path, anchor in targets
            if not path.exists() or (anchor and anchor not in anchors_of(path))
        ),
        *(path for path in OUR_FILE.findall(text) if not (project / path).exists()),
        *({*RECIPE.findall(text)} - {*recipes}),
    ]


def prose_of(page: Path) -> str:
    """A page without its blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors_of(page: Path) -> set[str]:
    """What the headings of a page are called in links, by GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
