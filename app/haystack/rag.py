"""The model `rag`: BM25 finds passages of documents, and a generator answers from them if there is one."""

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

from app.haystack.graph import AnyComponent
from app.haystack.messages import last_question
from app.haystack.model import HaystackModel, haystack_pipeline
from app.haystack.upstream import upstream_generator
from app.local.generator import local_generator  # pack: local
from app.settings import Settings

PROJECT = Path(__file__).parents[2]
SUFFIXES = {".md", ".txt"}
PARAGRAPHS = 3  # of a passage: enough to make sense, and short enough for the smallest models
PASSAGES = 3  # that an answer is based on
NOTHING_FOUND = "None of the documents says anything about that."
PROMPT = [  # worded for the smallest models
    ChatMessage.from_system("You are a helpful assistant. Answer the question using the text."),
    ChatMessage.from_user(
        "Text: {% for document in documents %}{{ document.content }}\n\n{% endfor %}Question: {{ query }}"
    ),
]


def rag_model(settings: Settings) -> HaystackModel:
    """Return a model that answers from the documents of `RAG_FOLDER`, and cites them."""
    store = InMemoryDocumentStore()
    store.write_documents(read_documents(settings.rag_folder), DuplicatePolicy.OVERWRITE)
    generator, passages = _generator(settings)
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(store, top_k=passages))
    pipeline.add_component("llm", generator)
    if isinstance(generator, Quoter):
        pipeline.connect("retriever.documents", "llm.documents")
    else:
        pipeline.add_component("prompt", ChatPromptBuilder(PROMPT, required_variables="*"))
        pipeline.connect("retriever.documents", "prompt.documents")
        pipeline.connect("prompt.prompt", "llm.messages")
    return haystack_pipeline(
        pipeline,
        inputs=lambda messages, body: {"query": last_question(messages) or "?"},  # "" would be an error
        documents="retriever.documents",
    )


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
    splitter = MarkdownHeaderSplitter(secondary_split="passage", split_length=PARAGRAPHS)
    return [_named(passage, root) for passage in splitter.run(documents=documents)["documents"]]


@component
class Quoter:
    """A component that replies with quotations, for want of a generator."""

    @component.output_types(replies=list[ChatMessage])
    def run(self, documents: list[Document]) -> dict[str, list[ChatMessage]]:
        """Quote the documents."""
        quotations = [_quotation(document) for document in documents]
        return {"replies": [ChatMessage.from_assistant("\n\n".join(quotations) or NOTHING_FOUND)]}


def _generator(settings: Settings) -> tuple[AnyComponent, int]:
    """Return the first generator that the settings allow, and the number of passages that it is given."""
    if settings.openai_model:
        return upstream_generator(settings), PASSAGES
    if (generator := local_generator(settings.local_model_path, max_tokens=128)) is not None:  # pack: local
        return generator, 1  # pack: local
    return Quoter(), PASSAGES


def _named(passage: Document, root: Path) -> Document:
    file, header = Path(passage.meta["file_path"]).relative_to(root).as_posix(), passage.meta.get("header")
    return replace(passage, meta={**passage.meta, "name": f"{file}: {header}" if header else file})


def _quotation(document: Document) -> str:
    lines = (document.content or "").strip().splitlines()
    return "\n".join(f"> {line}" for line in lines) + f"\n\n({document.meta['name']})"
