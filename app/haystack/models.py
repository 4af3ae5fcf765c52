"""The example models `rag` and `chat`."""

from app.model import ModelFunction
from app.registry import Pipelines
from app.settings import Settings

__all__ = ["models"]

models = Pipelines()


@models.factory("rag", prompt="What happens when the client leaves?")
def rag(settings: Settings) -> ModelFunction:
    """Build a Haystack pipeline that answers from documents."""
    from app.haystack.rag import rag_model

    return rag_model(settings)


@models.factory("chat", when=lambda settings: settings.openai_model != "")
def chat(settings: Settings) -> ModelFunction:
    """Build a proxy to any OpenAI-compatible upstream."""
    from app.haystack.model import haystack_component
    from app.haystack.upstream import upstream_generator, upstream_parameters

    return haystack_component(upstream_generator(settings), parameters=upstream_parameters)
