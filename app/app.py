"""The composition root: what `litestar run` finds."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig

from app.completions.engine import Engine, Limits
from app.completions.workers import Executor, Workers
from app.dependencies import DEPENDENCIES
from app.errors import respond_with_error
from app.logs import configure_logging
from app.pipelines import pipelines
from app.request_ids import add_request_id, note_request_id
from app.serving import Serving, drain_on_signal
from app.settings import Settings
from controllers.openai import OpenAIController

__all__ = ["create_app"]

REASONING_FIELDS = {
    "reasoning_content": ("reasoning_content",),
    "reasoning": ("reasoning",),
    "both": ("reasoning_content", "reasoning"),
}


def create_app(*, settings: Settings | None = None, dependencies: Mapping[str, Provide] | None = None) -> Litestar:
    """Compose the application: cheap, and free of side effects, as `litestar run` does it twice.

    Args:
        settings: the settings; those of the environment and of `.env` unless given.
        dependencies: providers by name, which replace those of `app/dependencies.py`.
    """
    settings = settings or Settings.load()
    engine = _engine(settings)
    return Litestar(
        route_handlers=[OpenAIController],
        dependencies={**DEPENDENCIES, **(dependencies or {})},
        state=State({"engine": engine, "settings": settings}),
        exception_handlers={Exception: respond_with_error},
        before_request=note_request_id,
        before_send=[add_request_id],
        request_max_body_size=settings.max_body_size,
        lifespan=[_lifespan(engine, settings)],
        logging_config=None,
        plugins=[Serving()],
        openapi_config=OpenAPIConfig(title="OpenAI-compatible API", version="1"),
    )


def _engine(settings: Settings) -> Engine:
    limits = Limits(
        concurrent=settings.max_concurrent_completions,
        sync_workers=settings.sync_workers,
        timeout=settings.completion_timeout,
        keep_alive=settings.keep_alive_interval,
        finish_without_client=settings.finish_without_client,
    )
    return Engine(limits, REASONING_FIELDS[settings.reasoning_field])


def _lifespan(engine: Engine, settings: Settings) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        configure_logging(settings.log_level)
        asyncio.get_running_loop().set_default_executor(Executor(Workers(settings.sync_workers)))
        async with pipelines.serving(settings):
            with drain_on_signal(engine, settings.shutdown_grace), _frozen():
                yield
            await engine.close()

    return lifespan


@contextmanager
def _frozen() -> Iterator[None]:
    """Spare the garbage collector what lives as long as the server: that halves its longest pause."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
