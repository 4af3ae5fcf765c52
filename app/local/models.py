"""The example model `local`."""

from app.local.model import LocalModel, is_installed, local_model
from app.registry import Pipelines
from app.settings import Settings

__all__ = ["models"]

models = Pipelines()


@models.factory(
    "local",
    prompt="What is the capital of France?",
    preload=True,
    when=lambda settings: is_installed(settings.local_model_path),
)
def local(settings: Settings) -> LocalModel:
    """Answer by a small language model that runs in this process."""
    return local_model(settings.local_model_path)
