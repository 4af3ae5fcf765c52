"""Finish a project that copier has just copied: delete the marked lines of the packs that it leaves out, and name it.

Also run by hand in a clone, to take packs off: `python .scaffold/finish.py responses ray`. It deletes lines only; which
files belong to a pack is said in `copier.yml`.

A line that ends in the comment `pack: NAME` belongs to that pack, and with several names to all of them: it is deleted
when none of them is left. A line that is nothing but such a comment stands for all lines down to the next empty one.
"""

import json
import re
import sys
from pathlib import Path
from string import Template

TEMPLATE = Path(__file__).parents[1]
STARTER = "litestar-openai-starter"
MARK = re.compile(r"(?P<line>.*?)\s*(?:#|<!--|//) pack: (?P<packs>[a-z]+(?:, [a-z]+)*)\b[^,]*$")
FILES = ("*.py", "*.toml", "*.md", "*.html", "*.js", "justfile", ".env.example", "Dockerfile")
SKIPPED = {".git", ".venv", ".scaffold", "node_modules"}


def without_marked_lines(text: str, left_out: set[str]) -> str:
    """Return the text without the lines whose packs are all left out."""
    kept: list[str] = []
    in_paragraph = has_deleted = False
    for line in text.splitlines():
        found = MARK.fullmatch(line)
        is_left_out = found is not None and {*found["packs"].split(", ")} <= left_out
        in_paragraph = line != "" and (in_paragraph or (is_left_out and found is not None and not found["line"]))
        if in_paragraph or is_left_out:
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


def name_project(answers: dict[str, str]) -> None:
    """Write the project's name, description and owner into its files, and its README and NOTICE."""
    name, description, owner = (answers[key] for key in ("name", "description", "owner"))
    path = Path("pyproject.toml")
    text = path.read_text(encoding="utf-8").replace(STARTER, name)
    head = f"description = {json.dumps(description, ensure_ascii=False)}\n"
    head += f"authors = [{{ name = {json.dumps(owner, ensure_ascii=False)} }}]\n"
    text = re.sub(r"^description = .*\n", lambda _: head, text, count=1, flags=re.MULTILINE)
    path.write_text(text.replace('license = "MIT"\n', "", 1), encoding="utf-8")
    path = Path("requirements.lock")
    path.write_text(path.read_text(encoding="utf-8").replace(STARTER, name), encoding="utf-8")
    readme = Template((TEMPLATE / ".scaffold" / "README.md").read_text(encoding="utf-8"))
    Path("README.md").write_text(readme.substitute(answers), encoding="utf-8")
    licence = (TEMPLATE / "LICENSE").read_text(encoding="utf-8")
    Path("NOTICE").write_text(f"This project was made from code with this licence:\n\n{licence}", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1].startswith("{"):  # copier's answers, and all packs there are
        answers = json.loads(sys.argv[1])
        take_off(
            {*sys.argv[2].split(), "template"}
            - {*answers["packs"]}
            - ({"template"} if answers.get("tests") == "all" else set())
        )
        name_project(answers)
    else:
        take_off({*sys.argv[1:]})
