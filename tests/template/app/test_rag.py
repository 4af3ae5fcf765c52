"""The model `rag`: documents are read, found, quoted or answered from, and cited."""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.haystack.model import HaystackModel
from app.haystack.rag import NOTHING_FOUND, PASSAGES, PROJECT, rag_model, read_documents
from app.settings import Settings
from schemas.chat import Json
from tests.conftest import Client, Serve, ask, chunks_of, message_of, streamed_text

ABOUT_THE_PROJECT = [
    ("What happens when the client leaves?", "A client that leaves"),
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
FILES = {
    "fruit.md": "# Fruit\n\n## Apples\n\nApples are red.\n\n## Pears\n\nPears are green.\n",
    "animals/big/whales.txt": "Whales sing.\n",
    "animals/bees.md": "Bees dance.\n",
    "code.py": "wolves = 'howl'\n",
}


def rag(folder: Path | str = "") -> HaystackModel:
    """The model as it is where nothing can generate an answer."""
    return rag_model(Settings(rag_folder=str(folder)))


@pytest.fixture(autouse=True, scope="module")
def without_local() -> Iterator[None]:
    """The server without the extra `local`, though it be installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.haystack.rag.local_generator", lambda path, **kwargs: None)
        yield


@pytest.fixture(scope="module")
def quoting(serve_all: Serve) -> Client:
    """A client of the model `test`, which quotes this project's documents."""
    return serve_all(rag())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(tmp_path, FILES)


def folder_of(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def events_of(client: Client, question: object) -> list[Json]:
    """The events in a streamed answer."""
    return [chunk["event"] for chunk in chunks_of(ask(client, question, stream=True)) if "event" in chunk]


def names_of(events: list[Json]) -> list[str]:
    """What the citations among events are of."""
    return [event["data"]["source"]["name"] for event in events if event["type"] == "citation"]


@pytest.mark.parametrize(("question", "passage"), ABOUT_THE_PROJECT)
def test_a_question_about_the_project_finds_the_passage_that_answers_it(
    quoting: Client, question: str, passage: str
) -> None:
    assert passage in message_of(ask(quoting, question))["content"]


def test_the_readme_and_the_documents_are_read_as_they_are(quoting: Client) -> None:
    paths = [PROJECT / "README.md", *PROJECT.glob("docs/*.md")]
    documents = "\n".join(path.read_text(encoding="utf-8") for path in paths)

    answer: str = message_of(ask(quoting, "What happens on SIGTERM?"))["content"]

    quoted = [line.removeprefix("> ") for line in answer.splitlines() if line.startswith("> ")]
    assert quoted
    assert all(line in documents for line in quoted)


def test_the_answer_is_the_same_whole_and_streamed(quoting: Client) -> None:
    question = "What does the chunk mapper do?"

    assert streamed_text(ask(quoting, question, stream=True)) == message_of(ask(quoting, question))["content"]


def test_an_answer_quotes_what_was_found_and_says_where(serve: Serve, folder: Path) -> None:
    client = serve(rag(folder))

    assert message_of(ask(client, "What do pears look like?"))["content"] == (
        "> ## Pears\n> \n> Pears are green.\n\n(fruit.md: Pears)"
    )


def test_the_sources_are_cited_as_open_webui_shows_them(serve: Serve, folder: Path) -> None:
    client = serve(rag(folder))

    (event,) = events_of(client, "What do whales do?")

    score = event["data"]["metadata"][0].pop("score")
    assert score > 0
    assert event == {
        "type": "citation",
        "data": {
            "document": ["Whales sing.\n"],
            "metadata": [{"source": "animals/big/whales.txt"}],
            "source": {"name": "animals/big/whales.txt"},
        },
    }


def test_the_best_comes_first_and_not_all_comes(serve: Serve, folder: Path) -> None:
    client = serve(rag(folder))

    names = names_of(events_of(client, "Bees dance? And apples, pears, whales?"))

    assert names[0] == "animals/bees.md"
    assert len(names) == PASSAGES


def test_files_in_folders_below_are_read_and_other_kinds_of_files_are_not(folder: Path) -> None:
    names = sorted(document.meta["name"] for document in read_documents(str(folder)))

    assert names == ["animals/bees.md", "animals/big/whales.txt", "fruit.md: Apples", "fruit.md: Pears"]


def test_the_case_of_a_suffix_does_not_matter(tmp_path: Path) -> None:
    folder_of(tmp_path, {"README.MD": "Apples are red.", "NOTES.TXT": "Whales sing."})

    assert len(read_documents(str(tmp_path))) == 2


def test_two_files_of_one_name_are_told_apart(serve: Serve, tmp_path: Path) -> None:
    folder_of(tmp_path, {"one/README.md": "Whales sing low.", "two/README.md": "Whales sing high."})
    client = serve(rag(tmp_path))

    assert sorted(names_of(events_of(client, "Whales?"))) == ["one/README.md", "two/README.md"]


def test_copies_of_a_file_do_no_harm(serve: Serve, tmp_path: Path) -> None:
    folder_of(tmp_path, {"one/a.md": "Whales sing.", "two/a.md": "Whales sing."})

    assert "Whales sing." in message_of(ask(serve(rag(tmp_path)), "Whales?"))["content"]


def test_a_file_that_cannot_be_read_is_left_out_and_named_in_the_log(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / "empty.md").touch()
    (folder / "folder.md").mkdir()

    with caplog.at_level(logging.WARNING):
        documents = read_documents(str(folder))

    assert len(documents) == 4
    assert "latin.txt" in caplog.text


@pytest.mark.parametrize("name", ["", "none"])
def test_a_folder_without_documents_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    (tmp_path / "code.py").touch()

    with pytest.raises(ValueError, match="no Markdown or text file") as caught:
        rag(folder)

    assert str(folder) in str(caught.value)
    assert "RAG_FOLDER" in str(caught.value)


@pytest.mark.parametrize("question", ["Zanzibar quokkas?", "", "?!"])
def test_nothing_found_is_said_and_nothing_cited(serve: Serve, folder: Path, question: str) -> None:
    client = serve(rag(folder))

    assert message_of(ask(client, question))["content"] == NOTHING_FOUND
    assert streamed_text(ask(client, question, stream=True)) == NOTHING_FOUND
    assert events_of(client, question) == []


def test_the_question_is_what_the_user_said_last(serve: Serve, folder: Path) -> None:
    client = serve(rag(folder))
    messages = [
        {"role": "system", "content": "Bees!"},
        {"role": "user", "content": "What do apples look like?"},
        {"role": "assistant", "content": "Apples are red."},
        {"role": "user", "content": [{"type": "text", "text": "And what"}, {"type": "text", "text": "about whales?"}]},
    ]

    answer = message_of(ask(client, messages=messages))["content"]

    assert answer == "> Whales sing.\n\n(animals/big/whales.txt)"


def test_many_at_once_each_get_their_own_answer(serve: Serve, tmp_path: Path) -> None:
    folder_of(tmp_path, {f"{number}.md": f"The secret of animal{number} is fruit{number}." for number in range(20)})
    client = serve(rag(tmp_path))

    def answer(number: int) -> str:
        return streamed_text(ask(client, f"animal{number}", stream=True))

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(answer, range(20)))

    firsts = [answer.partition("\n")[0] for answer in answers]
    assert firsts == [f"> The secret of animal{number} is fruit{number}." for number in range(20)]
