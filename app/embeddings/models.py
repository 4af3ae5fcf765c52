"""The example embedder `wordllama`."""

from app.embeddings.static import StaticEmbedder, is_installed
from app.registry import Pipelines

__all__ = ["models"]

models = Pipelines()


@models.embedder_factory("wordllama", preload=False, when=lambda _: is_installed())
def wordllama() -> StaticEmbedder:
    """Return vectors of words, which are loaded when they are first asked for."""
    return StaticEmbedder()
