"""The documents that an answer is based on, as Open WebUI shows them."""

from typing import Any

import pytest
from haystack import Document, Pipeline, component
from haystack.dataclasses import ChatMessage

from app.haystack.model import haystack_pipeline
from schemas.chat import Json
from tests.conftest import Serve, ask
from tests.template.haystack.answers import events_of

URL = "https://example.com/whales"


@component
class Cites:
    """A generator that cites a document."""

    def __init__(self, document: Document) -> None:
        self.document = document

    @component.output_types(replies=list[ChatMessage], documents=list[Document])
    def run(self, messages: list[ChatMessage]) -> dict[str, Any]:
        return {"replies": [ChatMessage.from_assistant("They sing.")], "documents": [self.document]}


@pytest.mark.parametrize(
    ("meta", "name", "source"),
    [
        ({"name": "Whales", "title": "No", "url": URL}, "Whales", URL),
        ({"title": "Whales", "file_path": "a.md", "link": URL}, "Whales", URL),
        ({"file_path": "a.md", "name": "", "title": None}, "a.md", "a.md"),
        ({"url": URL, "link": "https://example.com"}, URL, URL),
        ({"link": URL}, URL, URL),
        ({"page_number": 7}, "Whales sing, and they do so in winter too, which few have heard. The song of a …", None),
        ({"title": 7}, "7", "7"),
    ],
)
def test_a_source_has_a_name_that_a_person_can_read_and_its_link(
    serve: Serve, meta: Json, name: str, source: str | None
) -> None:
    content = "Whales sing,\nand they do so in winter too, which few have heard. The song of a whale is long."
    pipeline = Pipeline()
    pipeline.add_component("llm", Cites(Document(content=content, meta=meta, score=0.5)))

    response = ask(serve(haystack_pipeline(pipeline, output="llm.replies", documents="llm.documents")), stream=True)

    ((kind, data),) = [(event["type"], event["data"]) for event in events_of(response)]
    assert (kind, data["document"], data["source"]["name"]) == ("citation", [content], name)
    assert data["metadata"] == [{"source": source or name, "score": 0.5}]


def test_a_document_without_any_text_or_name_is_not_named_by_its_whole_id(serve: Serve) -> None:
    pipeline = Pipeline()
    pipeline.add_component("llm", Cites(Document(id="ab" * 32, content=" ")))

    response = ask(serve(haystack_pipeline(pipeline, output="llm.replies", documents="llm.documents")), stream=True)

    assert [event["data"]["source"] for event in events_of(response)] == [{"name": "Document abababab"}]
