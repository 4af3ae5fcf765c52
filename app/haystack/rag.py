"""The model `rag`: BM25 finds passages of documents, and a generator answers from them if there is one."""

import re
from dataclasses import replace
from pathlib import Path

from haystack import Document, Pipeline, component
from haystack.components.builders import ChatPromptBuilder
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy

from app.haystack.graph import AnyComponent
from app.haystack.model import HaystackModel, haystack_pipeline
from app.haystack.passages import read_documents
from app.haystack.upstream import upstream_generator
from app.local.generator import local_generator  # pack: local
from app.settings import Settings

STOP_WORD = re.compile(  # of questions
    r"\b(?:a|about|all|an|and|any|are|as|at|be|by|can|could|did|do|does|for|from|get|has|have|how|i|if|in|is|it|its|me|"
    "must|my|of|on|one|or|our|s|should|so|tell|that|the|their|them|there|these|they|this|to|us|was|we|what|when|where|"
    r"which|who|why|will|with|would|you|your)\b",
    re.IGNORECASE,
)
# A question of nothing but these is about all documents, unless a heading is made of them.
ALL_DOCUMENTS = {"docs", "document", "documents", "project", "use", "used", "uses", "using"}
ENDING = re.compile(r"(?<=\w{3})(?:ings?|ed|es|(?<!s)s|e)\b", re.IGNORECASE)  # English
TITLE_WEIGHT = 4  # times that the title of a file is searched at its beginning; the heading of a section less
PASSAGES = 3  # that an answer is based on, at most
RELEVANCE = 0.65  # of the score of the best passage, which each of them must have
NOTHING_FOUND = "None of the documents says anything about that."
PROMPT = [  # worded for the smallest models
    ChatMessage.from_system("You are a helpful assistant. Answer the question using the text."),
    ChatMessage.from_user(
        "Text: {% for document in documents %}{{ document.content }}\n\n{% endfor %}Question: {{ query }}"
    ),
]


def rag_model(settings: Settings) -> HaystackModel:
    """Return a model that answers from the documents of `RAG_FOLDER`, and cites them."""
    generator = _generator(settings)
    pipeline = Pipeline()
    pipeline.add_component("retriever", KeywordRetriever(read_documents(settings.rag_folder)))
    pipeline.add_component("llm", generator)
    if isinstance(generator, Quoter):
        pipeline.connect("retriever.documents", "llm.documents")
    else:
        pipeline.add_component("prompt", ChatPromptBuilder(PROMPT, required_variables="*"))
        pipeline.connect("retriever.documents", "prompt.documents")
        pipeline.connect("prompt.prompt", "llm.messages")
    return haystack_pipeline(pipeline, documents="retriever.documents")


@component
class KeywordRetriever:
    """A component that finds passages by BM25; a question about all of them gets the README, or the first files."""

    def __init__(self, passages: list[Document]) -> None:
        self._passages = {passage.id: passage for passage in passages}
        self._store = InMemoryDocumentStore()
        self._store.write_documents([_searched(passage) for passage in passages], DuplicatePolicy.OVERWRITE)
        self._overview = _overview(passages)
        titles = [_words(passage.meta.get("header") or "") for passage in passages]
        self._overall = ALL_DOCUMENTS.difference(*(words for words in titles if words <= ALL_DOCUMENTS))

    @component.output_types(documents=list[Document])
    def run(self, query: str) -> dict[str, list[Document]]:
        """Return the best passages, or the beginnings of files."""
        if _words(query) <= self._overall:
            return {"documents": self._overview}
        found = self._store.bm25_retrieval(keywords(query), top_k=PASSAGES)
        scores = {document.id: document.score or 0 for document in found}
        least = RELEVANCE * max(scores.values(), default=0)
        best = [replace(self._passages[key], score=score) for key, score in scores.items() if score >= least]
        return {"documents": best}


@component
class Quoter:
    """A component that replies with quotations, for want of a generator."""

    @component.output_types(replies=list[ChatMessage])
    def run(self, documents: list[Document]) -> dict[str, list[ChatMessage]]:
        """Quote the documents."""
        quotations = [_quotation(document) for document in documents]
        return {"replies": [ChatMessage.from_assistant("\n\n".join(quotations) or NOTHING_FOUND)]}


def keywords(text: str) -> str:
    """Return the words of a text that matter, without their endings."""
    return ENDING.sub("", STOP_WORD.sub("", text))


def _words(text: str) -> set[str]:
    return {*re.findall(r"\w+", STOP_WORD.sub("", text).lower())}


def _searched(passage: Document) -> Document:
    """Return what is searched for a passage: headings count more, and lead to the beginning of their text."""
    depth = len(passage.meta.get("parent_headers") or ())
    headings = f"{passage.meta.get('header') or ''}\n" * (0 if passage.meta["split_id"] else TITLE_WEIGHT - depth)
    return replace(passage, content=keywords(f"{headings}{passage.content}"))


def _overview(passages: list[Document]) -> list[Document]:
    """Return the beginning of the README, the topmost first, or of the first files if there is none."""
    beginnings: dict[str, Document] = {}
    for passage in passages:
        beginnings.setdefault(passage.meta["file_path"], passage)
    readmes = [path for path in beginnings if Path(path).stem.upper() == "README"]
    first = sorted(readmes, key=lambda path: len(Path(path).parts)) or beginnings
    return [beginnings[path] for path in first][:PASSAGES]


def _generator(settings: Settings) -> AnyComponent:
    """Return the generator that the settings name, or a component that quotes."""
    if settings.openai_model:
        return upstream_generator(settings)
    path = settings.local_model_path  # pack: local (its own small model would make things up)
    if path and (generator := local_generator(path, max_tokens=512)) is not None:  # pack: local
        return generator  # pack: local
    return Quoter()


def _quotation(document: Document) -> str:
    name, _, text = (document.content or "").partition("\n\n")
    return f"**{name}**\n\n" + "\n".join(f"> {line}".rstrip() for line in text.splitlines())
