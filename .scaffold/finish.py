"""Finish a project that copier has just copied: delete the marked lines of the packs that it leaves out, and name it.

Also run by hand in a clone, to take packs off: `python .scaffold/finish.py responses ray`. It deletes lines only; which
files belong to a pack is said in `copier.yml`.

A line that ends in the comment `pack: NAME` belongs to that pack, and with several names to all of them: it is deleted
when none of them is left. A line that is nothing but such a comment stands for all lines down to the next empty one,
and right above a heading `##` of a page for all down to the next heading or such comment.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from string import Template
from typing import Any

TEMPLATE = Path(__file__).parents[1]
STARTER = "litestar-openai-starter"
MARK = re.compile(r"(?P<line>.*?)\s*(?:#|<!--|//) pack: (?P<packs>[a-z]+(?:, [a-z]+)*)\b.*$")
LOCKED = re.compile(r"(?P<package>(?P<name>\S+)==.*\n(?:    --.*\n)+)(?P<via>(?:    # .*\n)*)")
VIA = re.compile(r"^    # +(?:via )?([\w.-]+)$", re.MULTILINE)
FILES = ("*.py", "*.toml", "*.md", "*.html", "*.js", "justfile", ".env.example", "Dockerfile")
NEED_EXTRAS = ("embeddings", "local")  # their models are there only if the extra of that name is installed
SKIPPED = {".git", ".venv", ".scaffold", "node_modules"}


def without_marked_lines(text: str, left_out: set[str]) -> str:
    """Return the text without the lines whose packs are all left out."""
    kept: list[str] = []
    in_paragraph = in_section = has_deleted = False
    for line in text.splitlines():
        found = MARK.fullmatch(line)
        is_left_out = found is not None and {*found["packs"].split(", ")} <= left_out
        is_mark = found is not None and not found["line"]
        if is_mark or line.startswith("## "):
            in_section = in_paragraph and not is_mark
        in_paragraph = line != "" and (in_paragraph or (is_left_out and is_mark))
        if in_paragraph or in_section or is_left_out:
            has_deleted = True
        elif line or not (has_deleted and kept[-1:] == [""]):
            kept.append(line)
            has_deleted = False
    return "\n".join(kept).rstrip("\n") + "\n"


def take_off(left_out: set[str]) -> None:
    """Delete the marked lines of these packs from the files below the working directory."""
    paths = {path for pattern in FILES for path in Path().rglob(pattern) if not SKIPPED & {*path.parts}}
    for path in sorted(paths):
        text = path.read_text(encoding="utf-8")
        if " pack: " in text and (changed := without_marked_lines(text, left_out)) != text:
            path.write_text(changed, encoding="utf-8")


def name_project(answers: dict[str, Any], left_out: set[str]) -> None:
    """Write the project's name, description and owner into its files, and its README and NOTICE."""
    name, description, owner = (answers[key] for key in ("name", "description", "owner"))
    path = Path("pyproject.toml")
    text = path.read_text(encoding="utf-8")
    if re.search(rf'"{name}[\[=>]', text):  # uv would take the project for it, and not install it
        sys.exit(f"{name} is the name of a package that the project may need: choose another name.")
    text = text.replace(STARTER, name)
    head = f"description = {json.dumps(description, ensure_ascii=False)}\n"
    head += f"authors = [{{ name = {json.dumps(owner, ensure_ascii=False)} }}]\n"
    text = re.sub(r"^description = .*\n", lambda _: head, text, count=1, flags=re.MULTILINE)
    path.write_text(text.replace('license = "MIT"\n', "", 1), encoding="utf-8")
    readme = without_marked_lines((TEMPLATE / ".scaffold" / "README.md").read_text(encoding="utf-8"), left_out)
    extras = "".join(f" --extra {pack}" for pack in NEED_EXTRAS if pack in answers["packs"])
    Path("README.md").write_text(Template(readme).substitute(answers, extras=extras), encoding="utf-8")
    licence = (TEMPLATE / "LICENSE").read_text(encoding="utf-8")
    Path("NOTICE").write_text(f"This project was made from code with this licence:\n\n{licence}", encoding="utf-8")


def name_origin(*, warns: bool = True) -> None:
    """Name in the answers the address from which the folder of the template was cloned: others can reach that too."""
    folder = git(TEMPLATE, "config", "remote.origin.url")  # of copier's own clone
    if not folder or not Path(folder).is_dir():
        return
    address = re.sub(r"^(https?://)[^/@]+@", r"\1", git(folder, "config", "remote.origin.url"))  # without a token
    is_pushed = git(folder, "branch", "--remotes", "--contains", "HEAD")
    if not is_pushed or not address.startswith(("http://", "https://", "ssh://", "git@")):
        address = str(Path(folder))
        if warns:
            sys.stderr.write(
                f"Updates will come from the folder {address}, which colleagues and CI cannot reach: push it, and\n"
                "write its address to `_src_path` in .copier-answers.yml.\n"
            )
    elif not address.startswith("git@") and not address.endswith(".git"):
        address = f"git+{address}"  # or copier takes it for no repository
    path = Path(".copier-answers.yml")
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub("(?m)^_src_path: .*$", lambda _: f"_src_path: {address}", text), encoding="utf-8")


def git(folder: Path | str, *arguments: str) -> str:
    """Return what git says in a folder, and nothing where it fails."""
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - our own


def install_what_is_left(project: str) -> None:
    """Let the image install all extras of the project, and keep the versions of what the project can install."""
    path = Path("pyproject.toml")
    text = path.read_text(encoding="utf-8")
    described = tomllib.loads(text)
    extras = described["project"].get("optional-dependencies", {})
    direct = [described["project"]["dependencies"], described["dependency-groups"]["dev"], *extras.values()]
    names = {re.split(r"[^\w.-]", requirement)[0] for requirements in direct for requirement in requirements}
    used = keep_versions(names - {project}, project)
    kept = re.sub(r'^    "([\w.-]+)==.*",\n', lambda line: line[0] * (line[1] in used), text, flags=re.MULTILINE)
    path.write_text(kept, encoding="utf-8")
    path = Path("Dockerfile")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('EXTRAS=""', f'EXTRAS="{" ".join(extras)}"', 1), encoding="utf-8")


def keep_versions(direct: set[str], project: str) -> set[str]:
    """Keep in requirements.lock only what these packages need, themselves included, and return the names of that."""
    path = Path("requirements.lock")
    locked = [*LOCKED.finditer(path.read_text(encoding="utf-8").replace(STARTER, project))]
    used: set[str] = set()
    needed = direct
    while needed - used:
        used = used | needed
        needed = {each["name"] for each in locked if used & {*VIA.findall(each["via"])}}
    kept = [each for each in locked if each["name"] in used]
    parents = [{*VIA.findall(each["via"])} & (used | {project} if each["name"] in direct else used) for each in kept]
    entries = (each["package"] + needed_by(sorted(names)) for each, names in zip(kept, parents, strict=True))
    path.write_text("".join(entries), encoding="utf-8")
    return used


def needed_by(names: list[str]) -> str:
    """Return the comment of an entry of requirements.lock, as uv writes it."""
    match names:
        case []:
            return ""
        case [name]:
            return f"    # via {name}\n"
        case _:
            return "".join(["    # via\n", *(f"    #   {name}\n" for name in names)])


if __name__ == "__main__":
    if sys.argv[1].startswith("{"):  # copier's answers, all packs there are, and its operation
        answers = json.loads(sys.argv[1])
        kept = {*answers["packs"], *(["template"] if answers.get("tests") == "all" else [])}
        left_out = {*sys.argv[2].split(), "template"} - kept
        take_off(left_out)
        name_project(answers, left_out)
        install_what_is_left(answers["name"])
        name_origin(warns=sys.argv[3] == "copy")  # an update makes three copies
    else:
        take_off({*sys.argv[1:]})
