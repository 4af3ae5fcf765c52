"""What the project logs, and from which level on."""

import logging
from collections.abc import Iterator

import pytest

from app.logs import configure_logging
from tests.conftest import Serve, returning

LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"]


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """The logger of a module of the project; its configuration is undone after the test."""
    ours = logging.getLogger("app")
    before = ours.level, ours.handlers[:]
    yield logging.getLogger("app.mine")
    level, ours.handlers = before
    ours.setLevel(level)


@pytest.mark.parametrize("level", LEVELS)
def test_lines_below_the_level_are_not_written(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    configure_logging(level)

    for each in LEVELS:
        log.log(logging.getLevelNamesMapping()[each], "said at %s", each)

    written = [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    assert written == LEVELS[LEVELS.index(level) :]


def test_a_line_tells_the_level_the_request_and_the_place(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO")

    log.info("Hello!")

    assert capsys.readouterr().err.endswith("INFO [-] app.mine: Hello!\n")


def test_a_line_is_written_once_however_often_it_was_configured(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO")
    configure_logging("INFO")

    log.info("Hello!")

    assert capsys.readouterr().err.count("Hello!") == 1


def test_other_loggers_are_left_alone() -> None:
    before = logging.getLogger().level, logging.getLogger().handlers[:]

    configure_logging("DEBUG")

    assert (logging.getLogger().level, logging.getLogger().handlers) == before


def test_the_level_is_a_setting(serve: Serve, log: logging.Logger) -> None:
    serve(returning("Hello!"), log_level="ERROR")

    assert not log.isEnabledFor(logging.WARNING)
    assert log.isEnabledFor(logging.ERROR)
