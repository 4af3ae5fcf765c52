"""Litestar plugin that adds the telemetry the settings enable."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from click import Group, get_current_context
from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.plugins import CLIPlugin, InitPlugin

from app.settings import Settings, SettingsError

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where the client of Prometheus keeps the metrics that processes share


class TelemetryPlugin(InitPlugin, CLIPlugin):
    """Adds metrics (`METRICS`) and traces (`TRACING`); the packages of each are imported only if its setting is on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add middleware, routes and observers of completions."""
        if self._settings.metrics:
            with _extra("metrics", setting="METRICS"):
                from app.telemetry.metrics import add_metrics
            add_metrics(app_config)
        if self._settings.tracing:
            with _extra("otel", setting="TRACING"):
                from app.telemetry.tracing import add_tracing
            add_tracing(app_config, provider=self._settings.owned_by, root_path=self._settings.root_path)
        return app_config

    def on_cli_init(self, cli: Group) -> None:
        """Add no command."""

    @contextmanager
    def server_lifespan(self, app: Litestar) -> Iterator[None]:
        """Let the workers of `litestar run --wc 2` share their metrics in a folder."""
        if get_current_context().params["wc"] == 1 or FOLDER in os.environ:
            yield
            return
        with TemporaryDirectory(prefix="metrics-") as folder:
            os.environ[FOLDER] = folder
            try:
                yield
            finally:
                del os.environ[FOLDER]


@contextmanager
def _extra(name: str, *, setting: str) -> Iterator[None]:
    """Raise an error that names the extra to install if an import fails."""
    try:
        yield
    except ImportError as error:
        raise SettingsError(
            f"{setting} needs packages that are not installed: {error}. Install the extra `{name}`, "
            f"e.g. by `uv run --extra {name} litestar run`."
        ) from None
