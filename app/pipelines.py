"""The models that this server offers. This is the file to edit: a decorated function is a model.

A model is a function of `(model, messages, body)`, sync or async. It returns text or a completion, or yields text, a
`Delta`, a `Usage` …: `docs/models.md` lists what else, and `app/model.py` has the types. For a model that is slow to
import or to load, decorate a function that builds it with `@pipelines.factory(name)`.
"""

from collections.abc import Iterator

from app.embeddings.models import models as embedding_models  # pack: embeddings
from app.examples.models import models as example_models  # pack: examples
from app.haystack.models import models as haystack_models  # pack: haystack
from app.local.models import models as local_models  # pack: local
from app.model import Body, Messages, Usage, last_text
from app.registry import Pipelines

__all__ = ["pipelines"]

pipelines = Pipelines()


@pipelines.model("echo")
def echo(model: str, messages: Messages, body: Body) -> str:
    """Return the text of the last message: the whole answer at once."""
    return last_text(messages)


@pipelines.model("echo-stream")
def echo_stream(model: str, messages: Messages, body: Body) -> Iterator[str | Usage]:
    """Yield the words of the last message, each as a chunk, and then the usage."""
    words = last_text(messages).split(" ")
    for position, word in enumerate(words):
        yield word if position == 0 else f" {word}"
    yield Usage(prompt_tokens=len(words), completion_tokens=len(words))


pipelines.include(example_models)  # pack: examples
pipelines.include(haystack_models)  # pack: haystack
pipelines.include(local_models)  # pack: local
pipelines.include(embedding_models)  # pack: embeddings

# Your own models go below this line, so that an update can add a pack above it.
