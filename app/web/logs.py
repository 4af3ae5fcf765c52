"""Log lines: one format for all, and the id of the request in each."""

import json
import logging
import sys
from datetime import UTC, datetime
from logging.config import dictConfig
from typing import Any

from app.settings import LogFormat
from app.web.request_ids import RequestIdFilter

__all__ = ["JsonFormatter", "TextFormatter", "configure_logging", "logging_config"]

_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode  # in ASCII: it fits any terminal and any text
TOLD = frozenset({"method", "path", "status"})  # fields that the message of a line names already


def configure_logging(level: str, format: LogFormat) -> None:
    """Send what the project, its pipelines and uvicorn log to the terminal, each as one line.

    Args:
        level: from which level on, for loggers below `app`.
        format: `json`, `text`, or by whether a person reads it: `auto`.
    """
    dictConfig(logging_config(level, format))
    if isinstance(last := logging.lastResort, logging.Handler):  # what nobody else writes, from `WARNING` on
        last.setFormatter(_formatter(format)())
        last.addFilter(RequestIdFilter())


def logging_config(level: str, format: LogFormat) -> dict[str, Any]:
    """What `configure_logging` does, as `logging.config` reads it; uvicorn's own access log is off."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": "app.web.request_ids.RequestIdFilter"}},
        "formatters": {"line": {"()": f"app.web.logs.{_formatter(format).__name__}"}},
        "handlers": {
            "terminal": {"class": "logging.StreamHandler", "filters": ["request_id"], "formatter": "line"},
        },
        "loggers": {
            "app": {"level": level, "handlers": ["terminal"]},
            "app.requests": {"handlers": ["terminal"], "propagate": False},  # one line, whoever logs the rest again
            "uvicorn": {"level": "INFO", "handlers": ["terminal"], "propagate": False},
            "uvicorn.access": {"handlers": [], "propagate": False},
        },
    }


class JsonFormatter(logging.Formatter):
    """A line is a JSON object, with a traceback in it if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", "-"),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _encode(line)


class TextFormatter(logging.Formatter):
    """A line for a person, with its fields behind it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s [%(request_id)s] %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as logging calls it
        """The line without a traceback."""
        fields: dict[str, object] = getattr(record, "fields", {})
        return super().formatMessage(record) + "".join(
            f" {name}={value}" for name, value in fields.items() if name not in TOLD
        )


def _formatter(format: LogFormat) -> type[logging.Formatter]:
    if format == "auto":
        return TextFormatter if sys.stderr.isatty() else JsonFormatter
    return TextFormatter if format == "text" else JsonFormatter
