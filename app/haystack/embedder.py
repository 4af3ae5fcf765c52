"""Haystack's text embedders and document embedders, as embedders of the pack `embeddings`."""

from haystack import Document, Pipeline

from app.haystack.errors import translated_errors
from app.haystack.graph import AnyComponent, takes
from app.haystack.model import ServedPipeline
from schemas.embeddings import Embeddings


def haystack_embedder(component: AnyComponent) -> "HaystackEmbedder":
    """Return an embedder that asks a document embedder for all texts at once, or a text embedder one by one."""
    pipeline = Pipeline()  # runs sync components in threads
    pipeline.add_component("embedder", component)
    return HaystackEmbedder(pipeline, takes_documents=takes(component, "documents"))


class HaystackEmbedder(ServedPipeline, frozen=True):
    """Embedder that runs a component of Haystack; `haystack_embedder` makes it."""

    takes_documents: bool

    async def __call__(self, texts: list[str]) -> Embeddings:
        """Return the vectors, and the number of tokens if the component reports it."""
        documents = [Document(id=str(position), content=text) for position, text in enumerate(texts)]
        runs = [{"documents": documents}] if self.takes_documents else [{"text": text} for text in texts]
        with translated_errors():
            outputs = [(await self.pipeline.run_async({"embedder": inputs}))["embedder"] for inputs in runs]
        tokens = sum(((output.get("meta") or {}).get("usage") or {}).get("prompt_tokens") or 0 for output in outputs)
        if self.takes_documents:
            return Embeddings([document.embedding for document in outputs[0]["documents"]], tokens)
        return Embeddings([output["embedding"] for output in outputs], tokens)
