"""The example embedder `wordllama`."""

from app.embeddings.static import StaticEmbedder, is_installed
from app.registry import Pipelines

__all__ = ["models"]

models = Pipelines()


@models.embedder_factory("wordllama", preload=True, when=lambda _: is_installed())
def wordllama() -> StaticEmbedder:
    """Load vectors of words into this process."""
    return StaticEmbedder()
