"""Litestar plugin that adds the embeddings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.plugins import InitPlugin

from app.embeddings.service import EmbeddingService, PipelineEmbeddings
from app.pipeline_service import PipelineService
from controllers.embeddings import EmbeddingsController


class EmbeddingsPlugin(InitPlugin):
    """Adds the controller, and the dependency `embedding_service`: by default the embedders of the registry."""

    def __init__(self, pipelines: PipelineService) -> None:
        self._service = PipelineEmbeddings(pipelines)

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add them, unless the application has an embedding service of its own."""
        app_config.dependencies = {"embedding_service": Provide(self._provide), **(app_config.dependencies or {})}
        app_config.lifespan.append(self._lifespan)
        app_config.route_handlers.append(EmbeddingsController)
        return app_config

    async def _provide(self) -> EmbeddingService:
        return self._service

    @asynccontextmanager
    async def _lifespan(self, _: Litestar) -> AsyncIterator[None]:
        yield
        await self._service.close()
