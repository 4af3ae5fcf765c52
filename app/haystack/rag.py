"""Answers from documents: BM25 finds passages, and whichever generator there is answers from them.

Importing this imports Haystack.
"""

from dataclasses import replace
from pathlib import Path

from haystack import Document, Pipeline, component
from haystack.components.builders import ChatPromptBuilder
from haystack.components.converters import TextFileToDocument
from haystack.components.preprocessors import MarkdownHeaderSplitter
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy

from app.haystack.messages import last_text
from app.haystack.model import HaystackModel, haystack_pipeline
from app.haystack.speakers import AnyComponent
from app.haystack.upstream import upstream_generator
from app.local.generator import LocalChatGenerator
from app.local.model import is_installed, local_model
from app.services import Body
from app.settings import Settings

__all__ = ["Quoter", "rag_model", "read_documents"]

README = Path(__file__).parents[2] / "README.md"
SUFFIXES = {".md", ".txt"}
PARAGRAPHS = 3  # a passage: enough to mean something, and little enough for the smallest models
PASSAGES = 3  # of which an answer is made; the smallest models do better with one
BRIEFLY = {"temperature": 0, "max_tokens": 128}  # what makes the smallest models answer right
NOTHING = "None of the documents says anything about that."
PROMPT = [  # in the words that the smallest models understand best
    ChatMessage.from_system("You are a helpful assistant. Answer the question using the text."),
    ChatMessage.from_user(
        "Text: {% for document in documents %}{{ document.content }}\n\n{% endfor %}Question: {{ query }}"
    ),
]


def rag_model(settings: Settings) -> HaystackModel:
    """A model that answers from the documents of `RAG_FOLDER`, and cites them.

    An upstream answers from what was found, or the local model; if there is neither, what was found is the answer.
    """
    store = InMemoryDocumentStore()
    store.write_documents(read_documents(settings.rag_folder), DuplicatePolicy.OVERWRITE)
    generator = _generator(settings)
    pipeline = Pipeline()
    passages = 1 if isinstance(generator, LocalChatGenerator) else PASSAGES
    pipeline.add_component("retriever", InMemoryBM25Retriever(store, top_k=passages))
    if generator is None:
        pipeline.add_component("llm", Quoter())
        pipeline.connect("retriever.documents", "llm.documents")
    else:
        pipeline.add_component("prompt", ChatPromptBuilder(PROMPT, required_variables="*"))
        pipeline.add_component("llm", generator)
        pipeline.connect("retriever.documents", "prompt.documents")
        pipeline.connect("prompt.prompt", "llm.messages")
    return haystack_pipeline(pipeline, inputs=_inputs, documents="retriever.documents")


def read_documents(folder: str) -> list[Document]:
    """The passages of all Markdown and text files in a folder and those below it; of this project's README if it is "".

    Raises:
        ValueError: there is no such file.
    """
    root = Path(folder) if folder else README.parent
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES) if folder else [README]
    if not paths:
        raise ValueError(f"RAG_FOLDER is {folder!r}, where no Markdown or text file is.")
    documents = TextFileToDocument(store_full_path=True).run(sources=list(paths))["documents"]
    splitter = MarkdownHeaderSplitter(secondary_split="passage", split_length=PARAGRAPHS)
    return [_named(passage, root) for passage in splitter.run(documents=documents)["documents"]]


@component
class Quoter:
    """A generator for want of one: it quotes what was found."""

    @component.output_types(replies=list[ChatMessage])
    def run(self, documents: list[Document]) -> dict[str, list[ChatMessage]]:
        """Quote the documents."""
        quotes = [_quote(document) for document in documents]
        return {"replies": [ChatMessage.from_assistant("\n\n".join(quotes) or NOTHING)]}


def _inputs(messages: list[ChatMessage], body: Body) -> dict[str, str]:
    return {"query": last_text(messages) or "?"}  # by which nothing is found, while "" is an error


def _generator(settings: Settings) -> AnyComponent | None:
    if settings.openai_model:
        return upstream_generator(settings)
    if is_installed(settings.local_model_path):
        return LocalChatGenerator(local_model(settings.local_model_path), generation_kwargs=BRIEFLY)
    return None


def _named(passage: Document, root: Path) -> Document:
    file, header = Path(passage.meta["file_path"]).relative_to(root).as_posix(), passage.meta.get("header")
    return replace(passage, meta={**passage.meta, "name": f"{file}: {header}" if header else file})


def _quote(document: Document) -> str:
    lines = (document.content or "").strip().splitlines()
    return "\n".join(f"> {line}" for line in lines) + f"\n\n({document.meta['name']})"
