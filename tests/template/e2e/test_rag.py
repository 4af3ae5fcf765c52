"""The model `rag` as a person serves it: by settings alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import InternalServerError, OpenAI

from tests.template.e2e.clients import client_of, says
from tests.template.e2e.server import Server

QUESTION = "What do whales do?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "animals").mkdir()
    (folder / "animals" / "whales.md").write_text("# Whales\n\nWhales sing.\n", encoding="utf-8")
    (folder / "fruit.txt").write_text("Apples are red.\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def client(shipped: Server, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """A client of a server with documents, whose upstream repeats the prompt."""
    settings = {"RAG_FOLDER": str(folder), "OPENAI_BASE_URL": f"{shipped.url}/v1", "OPENAI_MODEL": "echo-stream"}
    with Server(tmp_path_factory.mktemp("rag") / "log", settings=settings) as server, client_of(server) as client:
        yield client


def streamed(client: OpenAI, question: str) -> tuple[list[str], list[Any]]:
    """The texts and the citations of a streamed answer."""
    chunks = list(client.chat.completions.create(model="rag", messages=says(question), stream=True))
    texts = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    events = [chunk.to_dict()["event"] for chunk in chunks if "event" in chunk.to_dict()]
    return texts, [event["data"] for event in events if isinstance(event, dict) and event["type"] == "citation"]


def test_it_answers_from_this_projects_documents_unless_told_otherwise(shipped_client: OpenAI) -> None:
    texts, citations = streamed(shipped_client, "What happens on SIGTERM?")

    assert texts
    assert "send SIGTERM and wait" in citations[0]["document"][0]
    assert all(citation["source"]["name"].startswith(("README.md", "docs/")) for citation in citations)


def test_the_upstream_answers_from_the_passages(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="rag", messages=says(QUESTION)).choices[0].message.content or ""

    assert " ".join(answer.split()) == f"Text: # Whales Whales sing. Question: {QUESTION}"


def test_the_upstream_s_answer_is_streamed_and_cited(client: OpenAI) -> None:
    texts, citations = streamed(client, QUESTION)

    assert len(texts) > 1
    assert " ".join("".join(texts).split()) == f"Text: # Whales Whales sing. Question: {QUESTION}"
    assert [citation["document"] for citation in citations] == [["# Whales\n\nWhales sing.\n"]]
    assert "whales.md" in citations[0]["source"]["name"]


def test_many_at_once_each_get_their_own_answer(client: OpenAI) -> None:
    questions = [f"Are apples red, {number}?" for number in range(20)]

    with ThreadPoolExecutor(len(questions)) as threads:
        answers = list(threads.map(lambda question: "".join(streamed(client, question)[0]), questions))

    assert [answer.partition("Question: ")[2] for answer in answers] == questions


def test_a_folder_without_documents_is_explained_in_the_log_until_there_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    with Server(tmp_path / "log", settings={"RAG_FOLDER": str(folder)}) as server, client_of(server) as client:
        with pytest.raises(InternalServerError) as caught:
            client.chat.completions.create(model="rag", messages=says(QUESTION))
        assert str(folder) not in caught.value.response.text
        server.wait_for_log(f"RAG_FOLDER is {str(folder)!r}, where no Markdown or text file is.")

        (folder / "whales.md").write_text("Whales sing.", encoding="utf-8")
        _, citations = streamed(client, QUESTION)

    assert [citation["document"] for citation in citations] == [["Whales sing."]]
