"""The model `rag`: documents are read, found, quoted or answered from, and cited."""

import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("haystack", reason="needs the package haystack-ai")

from haystack.components.generators.chat import MockChatGenerator

from app.haystack.models import models
from app.haystack.passages import LENGTH, read_documents, split_markdown
from app.haystack.rag import KeywordRetriever
from app.services import Body, Messages
from tests.conftest import Client, Serve, ask, chunks_of, error_of, live, message_of, streamed_text

NOTHING_FOUND = "None of the documents says anything about that."
FILES = {
    "fruit.md": "# Fruit\n\n## Apples\n\nApples are red.\n\n## Pears\n\nPears are green.\n",
    "animals/big/whales.TXT": "Whales sing.\n",
    "animals/bees.md": "Bees dance.\n",
    "animals/fruit.md": "Bats love figs.\n",
    "code.py": "wolves = 'howl'\n",
}
OFFICE = {
    "Animals/README.md": "Bees and whales.\n",
    "README.md": "Notes of an office.\n\n## Project structure\n\nA folder a team.\n",
    "team/projects.md": "# Projects\n\nWe use Rust, a language.\n",
    "team/rules.md": "# Use of documents\n\nThey may be copied. The docs are public.\n",
}
WHALES = "animals/big/whales.TXT\n\nWhales sing."
STARTER = "Your Python code as an OpenAI-compatible API (README.md)"
LEAVING = "Clients that leave, and slow ones (docs/models.md)"
FIRST_PASSAGES = {
    "What is this project?": STARTER,
    "What is this?": STARTER,
    "What's this?": STARTER,
    "what does it do": STARTER,
    "Tell me about these documents!": STARTER,
    "How do I start it?": "Start the server (README.md)",
    "How do I install it?": "Start the server (README.md)",
    "How do I run the tests?": "Test it (README.md)",
    "How do I add a model?": "Add a model (README.md)",
    "How do I stream?": "Ask it, streaming or not (README.md)",
    "Does it support streaming?": "Ask it, streaming or not (README.md)",
    "How is the speed measured?": "How it compares (README.md)",
    "Which licence is it?": "Working on it (README.md)",
    "Can I use it with Open WebUI?": "Open WebUI (docs/clients.md)",
    "How do I use Codex?": "Codex (docs/clients.md)",
    "What are the endpoints?": "Endpoints and errors (docs/errors.md)",
    "How do I replace a service?": "Services (docs/extending.md)",
    "How do I run a local model?": "A language model in the server (docs/local.md)",
    "What happens when the client leaves?": LEAVING,
    "How does a model run to its end although its client has left?": LEAVING,
    "How many threads run sync code?": "Settings (docs/settings.md)",
    "How do I deploy it?": "In production (docs/production.md)",
    "Is there authentication?": "Keys (docs/production.md)",
    "How do I set API keys?": "Keys (docs/production.md)",
    "Where are the logs?": "Logs and observability (docs/production.md)",
    "What happens on SIGTERM?": "Endpoints and errors (docs/errors.md)",
    "Is it secure?": "Security (docs/security.md)",
    "Which settings are there?": "Settings (docs/settings.md)",
    "Which setting limits the size of a request body?": "Settings (docs/settings.md)",
}


def repeat(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield from str(messages[-1]["content"])


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


@pytest.fixture(scope="module")
def retriever() -> KeywordRetriever:
    return KeywordRetriever(read_documents(""))


@pytest.mark.parametrize(("question", "source"), FIRST_PASSAGES.items())
def test_the_first_passage_about_the_project_is_of_the_section_that_answers(
    retriever: KeywordRetriever, question: str, source: str
) -> None:
    assert retriever.run(question)["documents"][0].meta["name"] == source


@pytest.mark.parametrize(
    ("question", "source", "text"),
    [
        ("What is this?", STARTER, "This project is a starter"),
        ("Which settings are there?", "Settings (docs/settings.md)", "Settings are read from the environment"),
        ("What may a model return?", "What it may return (docs/models.md)", "The client decides"),
        ("What does the chunk mapper do?", "What it may return (docs/models.md)", "an iterator yields"),
        ("What is the error when there is no such model?", "Endpoints and errors (docs/errors.md)", "no such model"),
    ],
)
def test_a_question_about_the_project_is_answered_by_short_quotations_under_their_heading_in_both_modes(
    project: Client, question: str, source: str, text: str
) -> None:
    whole = answer(project, question)

    quoted = dict(re.findall(r"^\*\*(.+)\*\*\n\n((?:>.*\n?)+)", whole, re.MULTILINE))
    assert text in quoted[source]
    assert len(quoted) <= 3
    assert streamed_text(ask(project, question, model="rag", stream=True)) == whole
    assert {citation["source"]["name"] for citation in citations(project, question)} == {*quoted}


def test_no_passage_of_the_project_is_long_or_has_half_a_block_of_code_a_table_without_a_head_or_a_note() -> None:
    for passage in read_documents(""):
        text = passage.content or ""
        assert len(text) <= LENGTH + 200  # its name, and what a block is given again
        assert "not run:" not in text
        assert "<!--" not in text
        assert text.count("```") % 2 == 0
        assert all("\n|---" in table for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE))


HEAD, ROW, FENCE = "| a | b |\n|---|---|", f"| {'x' * 290} | 1 |", "```"
LINE = "x = 1  # " + "y" * 280


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("One.\n\nTwo,\nthree.\n", ["One.\n\nTwo,\nthree."]),
        (f"{'a' * 500}\n\n{'b' * 500}", ["a" * 500, "b" * 500]),
        (f"{HEAD}\n" + f"{ROW}\n" * 3, [f"{HEAD}\n{ROW}\n{ROW}", f"{HEAD}\n{ROW}"]),
        (
            f"{FENCE}py note\n" + f"{LINE}\n\n" * 3 + FENCE,
            [f"{FENCE}py\n{LINE}\n\n{LINE}\n\n{FENCE}", f"{FENCE}py\n{LINE}\n\n{FENCE}"],
        ),
        (f"{FENCE}py\n" + f"{LINE}\n\n" * 3 + "x", [f"{FENCE}py\n{LINE}\n\n{LINE}\n", f"{FENCE}py\n{LINE}\n\nx"]),
        (f"Do:\n{FENCE}sh not run: it is slow\nrun\n{FENCE}", [f"Do:\n\n{FENCE}sh\nrun\n{FENCE}"]),
        (f"{FENCE}py\nx = [a](b.c)  # <!-- -->\n{FENCE}", [f"{FENCE}py\nx = [a](b.c)  # <!-- -->\n{FENCE}"]),
        ("- a\n\n  - b", ["- a\n\n  - b"]),
        (f"- {'a' * 70}\n  b\n- {'c' * 70}\n1. d\ne", [f"- {'a' * 70} b\n- {'c' * 70}\n1. d\ne"]),
        ("See [it](docs/it.md#a), [b](#b) and [c](https://c.d). <!-- no -->\n\n![p](p.png)", ["See it, b and [c](https://c.d)."]),
        ("Whales sing. " * 100, ["Whales sing. " * 61 + "Whales", "sing." + " Whales sing." * 38]),
    ],
    ids=[
        *("paragraphs", "long together", "table", "code", "open code", "note", "code is kept", "indented", "wrapped"),
        *("links", "long"),
    ],
)  # fmt: skip
def test_a_text_is_split_into_passages_that_can_be_read_alone(text: str, passages: list[str]) -> None:
    assert split_markdown(text) == passages


def test_an_answer_quotes_the_passage_under_its_heading_and_file(client: Client) -> None:
    assert answer(client, "What does a pear look like?") == "**Pears (fruit.md)**\n\n> Pears are green."


def test_the_passages_are_cited_as_open_webui_shows_them(client: Client) -> None:
    (citation,) = citations(client, "What do whales do?")

    assert citation["metadata"][0].pop("score") > 0
    assert citation == {
        "document": [WHALES],
        "metadata": [{"source": "animals/big/whales.TXT"}],
        "source": {"name": "animals/big/whales.TXT"},
    }


def test_the_best_of_the_text_files_comes_first_and_at_most_three_come_and_none_that_fits_far_less(
    client: Client,
) -> None:
    assert len(citations(client, "Bats? And apples, pears, whales?")) == 3
    names = [citation["source"]["name"] for citation in citations(client, "Bats love figs? And whales?")]
    assert names == ["animals/fruit.md"]


@pytest.mark.parametrize("question", ["Zanzibar quokkas?", "wolves howl"])
def test_nothing_found_is_said_and_nothing_cited(client: Client, question: str) -> None:
    assert answer(client, question) == NOTHING_FOUND
    assert citations(client, question) == []


@pytest.mark.parametrize("question", ["What is this?", "What are these documents about?", "", "?!"])
def test_a_question_about_all_of_it_is_answered_by_the_beginning_of_each_file(client: Client, question: str) -> None:
    names = [citation["source"]["name"] for citation in citations(client, question)]
    assert names == ["animals/bees.md", "animals/big/whales.TXT", "animals/fruit.md"]


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("Which projects do we use?", ["Projects (team/projects.md)"]),
        ("Use of documents", ["Use of documents (team/rules.md)"]),
        ("Which language do projects use?", ["Projects (team/projects.md)"]),
        ("Are the docs public?", ["Use of documents (team/rules.md)"]),
        ("What is this project?", ["README.md", "Animals/README.md"]),
        ("What is it used for?", ["README.md", "Animals/README.md"]),
        ("Tell me about the docs", ["README.md", "Animals/README.md"]),
    ],
)
def test_words_that_may_mean_all_documents_are_searched_if_others_or_titles_make_them_a_subject(
    tmp_path: Path, question: str, names: list[str]
) -> None:
    for name, text in OFFICE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    found = KeywordRetriever(read_documents(str(tmp_path))).run(question)["documents"]
    assert [passage.meta["name"] for passage in found] == names


def test_the_question_is_what_the_user_said_last(client: Client) -> None:
    messages = [
        {"role": "system", "content": "Bees!"},
        {"role": "user", "content": "What do apples look like?"},
        {"role": "assistant", "content": "Apples are red."},
        {"role": "user", "content": [{"type": "text", "text": "And what"}, {"type": "text", "text": "about whales?"}]},
    ]

    assert answer(client, "", messages=messages) == "**animals/big/whales.TXT**\n\n> Whales sing."


def test_files_of_one_name_are_told_apart_and_copies_do_no_harm(serve: Serve, tmp_path: Path) -> None:
    for folder, text in (("one", "Whales sing low."), ("two", "Whales sing high."), ("three", "Whales sing high.")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "README.md").write_text(text, encoding="utf-8")
    client = serve(models, rag_folder=str(tmp_path))

    found = {citation["source"]["name"]: citation["document"] for citation in citations(client, "Whales?")}
    assert found["one/README.md"] == ["one/README.md\n\nWhales sing low."]
    assert any("Whales sing high." in passage for (passage,) in found.values())


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
    assert answer(client, "Whales?") == "**whales.md**\n\n> Whales sing."


def test_a_local_model_answers_from_the_passages_if_its_file_is_named(
    serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.haystack.rag.local_generator", lambda path, **kwargs: MockChatGenerator(path))

    assert answer(serve(models, rag_folder=str(folder), local_model_path="a.gguf"), "Whales?") == "a.gguf"


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

    assert texts == [f"Text: {WHALES}\n\nQuestion: {question}" for question in questions]
    assert whole == texts[0]
    assert citation["document"] == [WHALES]
