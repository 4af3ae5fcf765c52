"""The passages of Markdown and text files: short enough to be quoted, and named by their heading and file."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import wrap

from haystack import Document
from haystack.components.converters import TextFileToDocument
from haystack.components.preprocessors import DocumentSplitter, MarkdownHeaderSplitter

PROJECT = Path(__file__).parents[2]
SUFFIXES = {".md", ".txt"}
LENGTH = 800  # characters of a passage: enough to make sense, and short enough to be quoted

_BLOCK = re.compile(
    r"^```.*?(?:^```\s*?$|\Z)|(?:^\|[^\n]*\n?)+|[ \t]*\S.*?(?=\n\s*\n|\n```|\n\||\Z)", re.MULTILINE | re.DOTALL
)
_NOTE = re.compile(r"^(```\w+) .*")  # beside the language of a block of code
_NOT_SHOWN = re.compile(r"[ \t]*(?:<!--.*?-->|!\[[^\]]*\]\([^)]*\))", re.DOTALL)  # comments and pictures
_LINK_TO_FILE = re.compile(r"\[([^\[\]]+)\]\((?!https?:)[^()\s]*[./#][^()\s]*\)")  # leads nowhere in a chat
_WRAPPED = re.compile(r"(?<=.{60})[ \t]*\n[ \t]*(?!\||[-*+>][ \t]|\d+\.[ \t])(?=\S)")  # many chats show line ends


def read_documents(folder: str) -> list[Document]:
    """Return the passages of all Markdown and text files below a folder; of this project's documents if it is "".

    Raises:
        ValueError: There is no such file.
    """
    root = Path(folder) if folder else PROJECT
    files = root.rglob("*") if folder else [root / "README.md", *root.glob("docs/*.md")]
    paths = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(f"RAG_FOLDER is {folder!r}, where no Markdown or text file is.")
    documents = TextFileToDocument(store_full_path=True).run(sources=[*paths])["documents"]
    sections = MarkdownHeaderSplitter(keep_headers=False).run(documents=documents)["documents"]
    splitter = DocumentSplitter(split_by="function", splitting_function=split_markdown)
    return [_named(passage, root) for passage in splitter.run(documents=sections)["documents"]]


def split_markdown(text: str) -> list[str]:
    """Split a text into passages of whole paragraphs, blocks of code and tables; what is longer is split too."""
    passages: list[str] = []
    for block in _BLOCK.findall(text):
        for piece in filter(None, _pieces(block)):
            if passages and len(passages[-1]) + len(piece) <= LENGTH:
                passages[-1] += f"\n\n{piece}"
            else:
                passages.append(piece)
    return passages


def _pieces(block: str) -> Iterator[str]:
    """Yield a block in pieces, each of which has the fences of its code, or the head of its table."""
    is_code, is_table = block.startswith("```"), block.startswith("|")
    text = (
        _NOTE.sub(r"\1", block) if is_code else _WRAPPED.sub(" ", _LINK_TO_FILE.sub(r"\1", _NOT_SHOWN.sub("", block)))
    )
    lines = [part for line in text.splitlines() for part in (wrap(line, LENGTH) if len(line) > LENGTH else [line])]
    is_closed = lines[-1:] == ["```"]
    first, last = (1, is_closed) if is_code else (2, 0) if is_table else (0, 0)
    head, rows, tail = lines[:first], lines[first : len(lines) - last], lines[len(lines) - last :]
    piece = head
    for row in rows:
        if piece != head and len("\n".join([*piece, row])) > LENGTH:
            yield "\n".join([*piece, *tail])
            piece = head
        piece = [*piece, row]
    yield "\n".join([*piece, *tail])


def _named(passage: Document, root: Path) -> Document:
    file, header = Path(passage.meta["file_path"]).relative_to(root).as_posix(), passage.meta.get("header")
    name = f"{header} ({file})" if header else file
    return replace(passage, content=f"{name}\n\n{passage.content}", meta={**passage.meta, "name": name})
