"""Log lines: one format, and the id of the request in each."""

from logging.config import dictConfig

__all__ = ["configure_logging"]


def configure_logging(level: str) -> None:
    """Send what the project and its pipelines log to the terminal.

    Args:
        level: from which level on, for loggers below `app`.
    """
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"request_id": {"()": "app.request_ids.RequestIdFilter"}},
            "formatters": {"line": {"format": "%(asctime)s %(levelname)s [%(request_id)s] %(name)s: %(message)s"}},
            "handlers": {
                "terminal": {"class": "logging.StreamHandler", "filters": ["request_id"], "formatter": "line"},
            },
            "loggers": {"app": {"level": level, "handlers": ["terminal"]}},
        }
    )
