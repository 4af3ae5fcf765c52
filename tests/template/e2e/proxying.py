"""The project's application with the tests' models beside its own, and each of them through `chat` as well.

One server of it is the upstream of another: there, `chat/usage` is the upstream's `usage`.
"""

from collections.abc import Callable

from litestar import Litestar
from msgspec.structs import replace

from app.app import create_app as create_project_app
from app.haystack.models import chat
from app.pipelines import pipelines
from app.settings import Settings
from tests.template.e2e.answering import add_answering_models
from tests.template.e2e.failing import add_failing_models
from tests.template.e2e.journal import JournalController
from tests.template.e2e.waiting import add_waiting_models

__all__ = ["create_app"]


def chat_with(name: str) -> Callable[[Settings], object]:
    """What makes the model `chat` of another upstream model."""

    def make(settings: Settings) -> object:
        return chat(replace(settings, openai_model=name))

    return make


add_answering_models(pipelines)
add_failing_models(pipelines)
add_waiting_models(pipelines)
for upstream_model in [*pipelines.models, "none"]:
    factory = pipelines.factory(f"chat/{upstream_model}", when=lambda settings: settings.openai_base_url)
    factory(chat_with(upstream_model))


def create_app() -> Litestar:
    """Compose the application that `litestar --app tests.template.e2e.proxying:create_app run` serves."""
    app = create_project_app()
    app.register(JournalController)
    return app
