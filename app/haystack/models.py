"""The example models `rag` and `chat`."""

from app.model import ModelFunction
from app.registry import Pipelines
from app.settings import Settings

__all__ = ["models"]

models = Pipelines()


@models.factory("rag", prompt="What happens when the client leaves?")
def rag(settings: Settings) -> ModelFunction:
    """Answer questions from documents, by a Haystack pipeline, and name the sources."""
    from app.haystack.rag import rag_model

    return rag_model(settings)


@models.factory("chat", when=lambda settings: settings.openai_model != "")
def chat(settings: Settings) -> ModelFunction:
    """Pass the chat on to the model of an OpenAI-compatible server."""
    from app.haystack.model import haystack_component
    from app.haystack.upstream import upstream_generator, upstream_parameters

    return haystack_component(upstream_generator(settings), parameters=upstream_parameters)
