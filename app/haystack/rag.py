"""The model `rag`: BM25 finds passages of documents, and a generator answers from them if there is one."""

import re

from haystack import Document, Pipeline, component
from haystack.components.builders import ChatPromptBuilder
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy

from app.haystack.graph import AnyComponent
from app.haystack.messages import last_question
from app.haystack.model import HaystackModel, haystack_pipeline
from app.haystack.passages import read_documents
from app.haystack.upstream import upstream_generator
from app.local.generator import local_generator  # pack: local
from app.settings import Settings

STOP_WORD = re.compile(  # of questions: in a small collection of documents such words would decide what is found
    "a|an|and|are|as|at|be|by|can|could|do|does|for|from|get|has|have|how|i|if|in|is|it|its|me|must|my|of|on|one|or|our|"
    "should|so|tell|that|the|their|them|there|these|they|this|to|us|was|we|what|when|where|which|who|why|will|with|would|"
    "you|your",
    re.IGNORECASE,
)
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
    store = InMemoryDocumentStore()
    store.write_documents(read_documents(settings.rag_folder), DuplicatePolicy.OVERWRITE)
    generator = _generator(settings)
    pipeline = Pipeline()
    pipeline.add_component("keywords", Keywords())
    pipeline.add_component("retriever", InMemoryBM25Retriever(store, top_k=PASSAGES))
    pipeline.add_component("relevant", Relevant())
    pipeline.connect("keywords.query", "retriever.query")
    pipeline.connect("retriever.documents", "relevant.documents")
    pipeline.add_component("llm", generator)
    if isinstance(generator, Quoter):
        pipeline.connect("relevant.documents", "llm.documents")
    else:
        pipeline.add_component("prompt", ChatPromptBuilder(PROMPT, required_variables="*"))
        pipeline.connect("relevant.documents", "prompt.documents")
        pipeline.connect("prompt.prompt", "llm.messages")
    return haystack_pipeline(
        pipeline,
        inputs=lambda messages, body: {"query": last_question(messages) or "?"},  # "" would be an error
        documents="relevant.documents",
    )


@component
class Keywords:
    """A component that searches for the words of a question that matter, in singular and plural."""

    @component.output_types(query=str)
    def run(self, query: str) -> dict[str, str]:
        """Return the words, or the question if none of them matters."""
        words = [word for word in re.findall(r"\w+", query) if not STOP_WORD.fullmatch(word)]
        found = [form for word in words for form in (word, word[:-1] if word.endswith("s") else f"{word}s")]
        return {"query": " ".join(found) or query}


@component
class Relevant:
    """A component that keeps the documents whose score is near that of the best one."""

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Return those documents."""
        least = RELEVANCE * max((document.score or 0 for document in documents), default=0)
        return {"documents": [document for document in documents if (document.score or 0) >= least]}


@component
class Quoter:
    """A component that replies with quotations, for want of a generator."""

    @component.output_types(replies=list[ChatMessage])
    def run(self, documents: list[Document]) -> dict[str, list[ChatMessage]]:
        """Quote the documents."""
        quotations = [_quotation(document) for document in documents]
        return {"replies": [ChatMessage.from_assistant("\n\n".join(quotations) or NOTHING_FOUND)]}


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
