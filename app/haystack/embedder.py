"""Haystack's text embedders and document embedders, as embedders of the pack `embeddings`."""

import asyncio

from haystack import Document, Pipeline

from app.haystack.errors import translated_errors
from app.haystack.graph import AnyComponent
from schemas.embeddings import Embeddings


def haystack_embedder(component: AnyComponent) -> "HaystackEmbedder":
    """Return an embedder that asks a document embedder for all texts at once, or a text embedder one by one."""
    return HaystackEmbedder(component)


class HaystackEmbedder:
    """A component as an embedder; `haystack_embedder` makes it."""

    def __init__(self, component: AnyComponent) -> None:
        self._component = component
        self._pipeline = Pipeline()  # runs sync components in threads
        self._pipeline.add_component("embedder", component)

    async def start(self) -> None:
        """Warm up the component, in a thread if it does that in sync code."""
        if not hasattr(self._component, "warm_up_async") and hasattr(self._component, "warm_up"):
            await asyncio.to_thread(self._component.warm_up)
        await self._pipeline.warm_up_async()

    async def close(self) -> None:
        """Release the resources of the component."""
        await self._pipeline.close_async()

    async def __call__(self, texts: list[str]) -> Embeddings:
        """Return the vectors, and the number of tokens if the component reports it."""
        documents = [Document(id=str(position), content=text) for position, text in enumerate(texts)]
        takes_documents = "documents" in self._component.__haystack_input__
        runs = [{"documents": documents}] if takes_documents else [{"text": text} for text in texts]
        with translated_errors():
            outputs = [(await self._pipeline.run_async({"embedder": inputs}))["embedder"] for inputs in runs]
        tokens = sum(((output.get("meta") or {}).get("usage") or {}).get("prompt_tokens") or 0 for output in outputs)
        if takes_documents:
            return Embeddings([document.embedding for document in outputs[0]["documents"]], tokens)
        return Embeddings([output["embedding"] for output in outputs], tokens)
