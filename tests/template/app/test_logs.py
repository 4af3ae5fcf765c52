"""What the project logs, from which level on, and in which form."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.web.logs import configure_logging
from tests.conftest import Serve, returning

LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"]
CONFIGURED = ["app", "app.requests", "uvicorn", "uvicorn.access"]


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """The logger of a module of the project; its configuration is undone after the test."""
    loggers = [logging.getLogger(name) for name in CONFIGURED]
    before = [(each.level, each.handlers[:], each.propagate) for each in loggers]
    yield logging.getLogger("app.mine")
    for each, (level, handlers, propagate) in zip(loggers, before, strict=True):
        each.handlers, each.propagate = handlers, propagate
        each.setLevel(level)


@pytest.mark.parametrize("level", LEVELS)
def test_lines_below_the_level_are_not_written(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    configure_logging(level, "text")

    for each in LEVELS:
        log.log(logging.getLevelNamesMapping()[each], "said at %s", each)

    written = [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    assert written == LEVELS[LEVELS.index(level) :]


def test_a_line_tells_the_level_the_request_and_the_place(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO", "text")

    log.info("Hello!")

    assert capsys.readouterr().err.endswith("INFO [-] app.mine: Hello!\n")


def test_a_line_in_json_tells_the_same(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging("INFO", "json")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own cannot pass on half a character

    log.info("Hello, %s!", "\u2028\ud800\n")

    line = json.loads(capsys.readouterr().err)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "INFO", "logger": "app.mine", "request_id": "-", "message": "Hello, \u2028\ud800\n!"}


def test_fields_of_any_type_are_values_of_json(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging("INFO", "json")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    log.info("Hello!", extra={"fields": {"huge": 2**70, "infinite": float("inf"), "path": Path("a"), "text": "é"}})

    line = json.loads(capsys.readouterr().err)
    assert (line["huge"], line["path"], line["text"]) == (2**70, "a", "é")


@pytest.mark.parametrize("name", ["app.mine", "uvicorn.error", "another"])
def test_a_traceback_stands_in_the_one_line_of_json(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging("INFO", "json")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # nobody but ours: pytest's own stand there

    try:
        raise ValueError("at fault")
    except ValueError:
        logging.getLogger(name).exception("It failed")

    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", name, "It failed")
    assert line["traceback"].startswith("Traceback")
    assert line["traceback"].endswith("ValueError: at fault")


@pytest.mark.parametrize(("terminal", "first"), [(True, "2"), (False, "{")])
def test_the_form_depends_on_who_reads_it(
    log: logging.Logger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    first: str,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    configure_logging("INFO", "auto")

    log.info("Hello!")

    assert capsys.readouterr().err.startswith(first)


def test_a_line_is_written_once_however_often_it_was_configured(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO", "text")
    configure_logging("INFO", "text")

    log.info("Hello!")

    assert capsys.readouterr().err.count("Hello!") == 1


def test_other_loggers_are_left_alone(log: logging.Logger) -> None:
    before = logging.getLogger().level, logging.getLogger().handlers[:]

    configure_logging("DEBUG", "json")

    assert (logging.getLogger().level, logging.getLogger().handlers) == before


def test_the_level_is_a_setting(serve: Serve, log: logging.Logger) -> None:
    serve(returning("Hello!"), log_level="ERROR")

    assert not log.isEnabledFor(logging.WARNING)
    assert log.isEnabledFor(logging.ERROR)
