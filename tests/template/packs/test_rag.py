"""The model `rag`: documents are read, found, quoted or answered from, and cited."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("haystack", reason="needs the package haystack-ai")

from app.haystack.models import models
from app.services import Body, Messages
from tests.conftest import ROOT, Client, Serve, ask, chunks_of, error_of, live, message_of, streamed_text

NOTHING_FOUND = "None of the documents says anything about that."
FILES = {
    "fruit.md": "# Fruit\n\n## Apples\n\nApples are red.\n\n## Pears\n\nPears are green.\n",
    "animals/big/whales.TXT": "Whales sing.\n",
    "animals/bees.md": "Bees dance.\n",
    "animals/fruit.md": "Bats love figs.\n",
    "code.py": "wolves = 'howl'\n",
}
ABOUT_THE_PROJECT = [
    ("How does a model run to its end although its client has left?", "outlives_client"),
    ("Which setting limits the size of a request body?", "MAX_BODY_SIZE"),
    ("How many threads run sync code?", "SYNC_WORKERS"),
    ("What is the error when there is no such model?", "no such model"),
    ("Which command runs the tests?", "uv run pytest"),
    ("What happens on SIGTERM?", "send SIGTERM and wait"),
    ("What does the chunk mapper do?", "an iterator yields"),
    ("How do I replace a service?", "Replace a service"),
    ("How is the speed measured?", "uv run just bench"),
    ("Which licence is it?", "MIT licence"),
]


def repeat(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield from str(messages[-1]["content"])


@pytest.fixture(autouse=True, scope="module")
def without_local() -> Iterator[None]:
    """Let nothing generate an answer, even if the extra `local` is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.haystack.rag.local_generator", lambda path, **kwargs: None, raising=False)
        yield


@pytest.fixture(scope="module")
def project(serve_all: Serve) -> Client:
    """A client of a server that answers from the project's documents."""
    return serve_all(models)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def client(serve_all: Serve, folder: Path) -> Client:
    """A client of a server that quotes the documents of the folder."""
    return serve_all(models, rag_folder=str(folder))


def answer(client: Client, question: object, **fields: Any) -> str:
    return str(message_of(ask(client, question, model="rag", **fields))["content"])


def citations(client: Client, question: object) -> list[Any]:
    chunks = chunks_of(ask(client, question, model="rag", stream=True))
    return [chunk["event"]["data"] for chunk in chunks if chunk.get("event", {}).get("type") == "citation"]


@pytest.mark.parametrize(("question", "passage"), ABOUT_THE_PROJECT)
def test_a_question_about_the_project_finds_the_passage_that_answers_it(
    project: Client, question: str, passage: str
) -> None:
    assert passage in answer(project, question)


def test_the_readme_and_the_documents_are_quoted_as_they_are_in_both_modes(project: Client) -> None:
    documents = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")])

    whole = answer(project, "What happens on SIGTERM?")

    quoted = [line.removeprefix("> ") for line in whole.splitlines() if line.startswith("> ")]
    assert quoted
    assert all(line in documents for line in quoted)
    assert streamed_text(ask(project, "What happens on SIGTERM?", model="rag", stream=True)) == whole
    names = [citation["source"]["name"] for citation in citations(project, "What happens on SIGTERM?")]
    assert names
    assert all(name.startswith(("README.md", "docs/")) for name in names)


def test_an_answer_quotes_the_passage_and_names_its_file_and_its_heading(client: Client) -> None:
    assert answer(client, "What do pears look like?") == "> ## Pears\n> \n> Pears are green.\n\n(fruit.md: Pears)"


def test_the_passages_are_cited_as_open_webui_shows_them(client: Client) -> None:
    (citation,) = citations(client, "What do whales do?")

    assert citation["metadata"][0].pop("score") > 0
    assert citation == {
        "document": ["Whales sing.\n"],
        "metadata": [{"source": "animals/big/whales.TXT"}],
        "source": {"name": "animals/big/whales.TXT"},
    }


def test_the_best_of_the_text_files_comes_first_and_at_most_three_come(client: Client) -> None:
    names = [citation["source"]["name"] for citation in citations(client, "Bats love figs? And apples, pears, whales?")]

    assert names[0] == "animals/fruit.md"
    assert len(names) == 3


@pytest.mark.parametrize("question", ["Zanzibar quokkas?", "wolves howl", "", "?!"])
def test_nothing_found_is_said_and_nothing_cited(client: Client, question: str) -> None:
    assert answer(client, question) == NOTHING_FOUND
    assert citations(client, question) == []


def test_the_question_is_what_the_user_said_last(client: Client) -> None:
    messages = [
        {"role": "system", "content": "Bees!"},
        {"role": "user", "content": "What do apples look like?"},
        {"role": "assistant", "content": "Apples are red."},
        {"role": "user", "content": [{"type": "text", "text": "And what"}, {"type": "text", "text": "about whales?"}]},
    ]

    assert answer(client, "", messages=messages) == "> Whales sing.\n\n(animals/big/whales.TXT)"


def test_files_of_one_name_are_told_apart_and_copies_do_no_harm(serve: Serve, tmp_path: Path) -> None:
    for folder, text in (("one", "Whales sing low."), ("two", "Whales sing high."), ("three", "Whales sing high.")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "README.md").write_text(text, encoding="utf-8")
    client = serve(models, rag_folder=str(tmp_path))

    found = {citation["source"]["name"]: citation["document"] for citation in citations(client, "Whales?")}
    assert found["one/README.md"] == ["Whales sing low."]
    assert ["Whales sing high."] in found.values()


def test_a_file_that_cannot_be_read_is_left_out_and_named_in_the_log(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "whales.md").write_text("Whales sing.", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 whales")
    (tmp_path / "empty.md").touch()
    (tmp_path / "folder.md").mkdir()

    with caplog.at_level(logging.WARNING):
        found = citations(serve(models, rag_folder=str(tmp_path)), "Whales?")

    assert [citation["source"]["name"] for citation in found] == ["whales.md"]
    assert "latin.txt" in caplog.text


@pytest.mark.parametrize("name", ["", "none"])
def test_a_folder_without_documents_is_explained_in_the_log_until_there_is_one(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    folder = tmp_path / name
    (tmp_path / "code.py").touch()
    client = serve(models, rag_folder=str(folder))

    failed = ask(client, "Whales?", model="rag")
    assert failed.status_code == 500
    assert str(folder) not in error_of(failed)["message"]
    assert f"RAG_FOLDER is {str(folder)!r}, where no Markdown or text file is." in caplog.text

    folder.mkdir(exist_ok=True)
    (folder / "whales.md").write_text("Whales sing.", encoding="utf-8")
    assert answer(client, "Whales?") == "> Whales sing.\n\n(whales.md)"


def test_an_upstream_answers_from_the_passages_each_of_many_clients_its_question(serve: Serve, folder: Path) -> None:
    questions = [f"What do whales do, {number}?" for number in range(20)]
    with live(repeat) as upstream:
        url = str(upstream.base_url)
        client = serve(models, rag_folder=str(folder), openai_base_url=url, openai_model="test")

        def text_of(question: str) -> str:
            return streamed_text(ask(client, question, model="rag", stream=True))

        with ThreadPoolExecutor(len(questions)) as threads:
            texts = list(threads.map(text_of, questions))
        whole = answer(client, questions[0])
        (citation,) = citations(client, questions[0])

    assert texts == [f"Text: Whales sing.\n\n\nQuestion: {question}" for question in questions]
    assert whole == texts[0]
    assert citation["document"] == ["Whales sing.\n"]
