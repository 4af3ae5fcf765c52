"""The application that most of these tests serve: the project's, with the models of the tests and the journal."""

from litestar import Litestar

from app.app import create_app as create_project_app
from app.registry import Pipelines
from tests.template.e2e.answering import add_answering_models
from tests.template.e2e.assisting import add_assisting_models
from tests.template.e2e.failing import add_failing_models
from tests.template.e2e.journal import JournalController
from tests.template.e2e.waiting import add_waiting_models

__all__ = ["create_app"]

pipelines = Pipelines()
for add_models in (add_answering_models, add_assisting_models, add_failing_models, add_waiting_models):
    add_models(pipelines)


def create_app() -> Litestar:
    """Compose the application that `litestar --app tests.template.e2e.serving:create_app run` serves."""
    app = create_project_app(pipelines=pipelines)
    app.register(JournalController)
    return app
