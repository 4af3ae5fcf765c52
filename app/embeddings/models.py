"""The example embedder `wordllama`."""

from app.embeddings.static import StaticEmbedder, is_installed
from app.registry import Pipelines

__all__ = ["models"]

models = Pipelines()


@models.embedder_factory("wordllama", preload=False, when=lambda _: is_installed())
def wordllama() -> StaticEmbedder:
    """Make small, fast vectors of texts from the vectors of their words."""
    return StaticEmbedder()
