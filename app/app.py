"""The composition root: `litestar run` finds `create_app` here."""

import asyncio
import atexit
import gc
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.plugins import PluginProtocol
from litestar.types import ControllerRouterHandler, Middleware

from app import extensions
from app import pipelines as pipelines_module
from app.embeddings.plugin import EmbeddingsPlugin  # pack: embeddings
from app.engine.engine import Engine, EngineOptions
from app.engine.observers import Observer
from app.engine.run import start_task
from app.engine.threads import Workers
from app.keys import KeyRing
from app.limits.plugin import LimitsPlugin  # pack: limits
from app.pipeline_service import PipelineService
from app.registry import Pipelines
from app.responses.plugin import ResponsesPlugin  # pack: responses
from app.settings import Settings
from app.telemetry.plugin import TelemetryPlugin  # pack: telemetry
from app.web.authentication import Authentication
from app.web.dependencies import default_dependencies, resolve_in_turn
from app.web.errors import respond_with_error
from app.web.logs import configure_logging, with_access_log
from app.web.origins import cors_config, with_origin_check
from app.web.precedence import Lifespan, PrecedencePlugin
from app.web.root_path import with_root_path
from app.web.routes import RoutesPlugin
from app.web.run import RunCommand
from controllers.health import HealthController
from controllers.openai import OpenAIController
from controllers.openapi import AnswerPlugin, openapi_config
from controllers.playground import PlaygroundPlugin  # pack: playground

__all__ = ["create_app"]


def create_app(
    *,
    settings: Settings | None = None,
    pipelines: Pipelines | None = None,
    dependencies: Mapping[str, Provide] | None = None,
    observers: Sequence[Observer] = (),
    lifespan: Sequence[Lifespan] = (),
    route_handlers: Sequence[ControllerRouterHandler] = (),
    middleware: Sequence[Middleware] = (),
    plugins: Sequence[PluginProtocol] = (),
) -> Litestar:
    """Compose the application. It is cheap and has no side effects, as `litestar run` calls it twice.

    Args:
        settings: The settings; by default those of the environment and of `.env`.
        pipelines: The registry of models; by default that of `app/pipelines.py`, and then the application has what
            `app/extensions.py` lists too.
        dependencies: Providers by name, which replace the defaults of `app/web/dependencies.py`.
        observers: Objects that are notified of each completion.
        lifespan: Context managers, entered before the resources and models of the registry are opened, and exited after
            they are closed.
        route_handlers: Routes, controllers and routers; a subclass of one of our controllers replaces it, unless its
            `path` is another.
        middleware: Middleware that gets the requests which keys and limits let pass, with their `user`.
        plugins: Litestar plugins, initialized after ours.
    """
    if pipelines is None:
        return create_app(
            settings=settings,
            pipelines=pipelines_module.pipelines,
            dependencies={**extensions.dependencies, **(dependencies or {})},
            observers=[*extensions.observers, *observers],
            lifespan=[*extensions.lifespan, *lifespan],
            route_handlers=[*extensions.route_handlers, *route_handlers],
            middleware=[*extensions.middleware, *middleware],
            plugins=[*extensions.plugins, *plugins],
        )
    settings = settings or Settings.load()
    engine = _engine(settings, observers)
    service = PipelineService(pipelines, settings)
    app = Litestar(
        route_handlers=[OpenAIController, HealthController, *route_handlers],
        dependencies={**default_dependencies(service, settings), **(dependencies or {})},
        state=State({"engine": engine, "settings": settings}),
        exception_handlers={Exception: respond_with_error},
        middleware=[Authentication(KeyRing(settings.api_keys, settings.api_keys_file))] if settings.keys else [],
        request_max_body_size=settings.max_body_size,
        cors_config=cors_config(settings),
        openapi_config=openapi_config(settings),
        logging_config=None,
        lifespan=[_event_loop, *lifespan, lambda _: _models(engine, service)],
        plugins=[
            RunCommand(),
            RoutesPlugin(),
            AnswerPlugin(),
            LimitsPlugin(settings),  # pack: limits
            ResponsesPlugin(settings),  # pack: responses
            EmbeddingsPlugin(service),  # pack: embeddings
            TelemetryPlugin(settings),  # pack: telemetry
            PlaygroundPlugin(settings),  # pack: playground
            *plugins,
            PrecedencePlugin(middleware),
        ],
    )
    resolve_in_turn(app)
    return with_access_log(with_root_path(with_origin_check(app), settings.root_path), engine.observers)


def _engine(settings: Settings, observers: Sequence[Observer]) -> Engine:
    fields = ("reasoning_content", "reasoning") if settings.reasoning_field == "both" else (settings.reasoning_field,)
    options = EngineOptions(
        concurrent=settings.max_concurrent_completions,
        sync_workers=settings.sync_workers,
        timeout=settings.completion_timeout,
        keep_alive=settings.keep_alive_interval,
        finish_without_client=settings.finish_without_client,
        messages=settings.max_messages,
        reasoning_fields=fields,
        owned_by=settings.owned_by,
        # The same in all workers and after a restart, unlike the time of the start
        created=int(Path(pipelines_module.__file__).stat().st_mtime),
    )
    return Engine(options, observers)


@asynccontextmanager
async def _event_loop(app: Litestar) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    configure_logging(settings.log_level, settings.log_format)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(Workers(settings.sync_workers))
    loop.set_task_factory(start_task)
    yield


@asynccontextmanager
async def _models(engine: Engine, service: PipelineService) -> AsyncIterator[None]:
    async with service.running():
        atexit.register(gc.freeze)  # spares the interpreter a last collection: 0.4 s of CPU, 0.7 with Haystack
        gc.freeze()  # spares the collector what lives as long as the server, which halves its longest pause
        try:
            yield
        finally:
            gc.unfreeze()
        await engine.close()
