"""The servers, and the clients that use them."""

import os
import resource

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"  # before anything imports Haystack

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from openai import AsyncOpenAI, OpenAI
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.template.e2e.chromium import CHROMIUM, RIGHT, Open, Visit
from tests.template.e2e.clients import async_client_of, client_of
from tests.template.e2e.patience import PATIENCE
from tests.template.e2e.server import Server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures that tests have recorded as properties."""
    figures = [
        (report.nodeid.partition("::")[2], figure)
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for figure in report.user_properties
    ]
    for test, (name, value) in figures:
        terminalreporter.write_line(f"{test}: {name}: {value}")


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The project's own server, with the models of `app/pipelines.py`."""
    with Server(tmp_path_factory.mktemp("shipped") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the models of the tests."""
    with Server.with_own_models(tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that sends a comment as soon as a stream is silent for a moment."""
    with Server.with_own_models(tmp_path_factory.mktemp("talkative") / "log", KEEP_ALIVE_INTERVAL="0.2") as running:
        yield running


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that allows one completion at a time, and little of everything else."""
    limits = {
        "MAX_CONCURRENT_COMPLETIONS": "1",
        "COMPLETION_TIMEOUT": "1",
        "MAX_BODY_SIZE": "10000",
        "MAX_HEADER_SIZE": "8000",
        "REQUEST_TIMEOUT": "2",
    }
    with Server.with_own_models(tmp_path_factory.mktemp("strict") / "log", **limits) as running:
        yield running


@pytest.fixture(scope="session")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants a key."""
    with Server.with_own_models(tmp_path_factory.mktemp("closed") / "log", API_KEYS=RIGHT) as running:
        yield running


@pytest.fixture(scope="session")
def many_files() -> Iterator[None]:
    """As many open files as the system allows, for this process and for the servers that it starts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="session")
def busy(many_files: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that many clients ask at once, each test leaving it as it was."""
    with Server.with_own_models(tmp_path_factory.mktemp("busy") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def shipped_client(shipped: Server) -> Iterator[OpenAI]:
    """OpenAI's client of the project's own server."""
    with client_of(shipped) as client:
        yield client


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[OpenAI]:
    """OpenAI's client of the server with the tests' models."""
    with client_of(server) as client:
        yield client


@pytest.fixture
async def async_client(server: Server) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's async client of the server with the tests' models."""
    async with async_client_of(server) as client:
        yield client


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
    """A client without opinions of the server with the tests' models."""
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # which root cannot have
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Opens a page of a server; nothing that is wrong may happen in it to the end of the test."""
    visits: list[Visit] = []

    def visit(server: Server, path: str = "/", **options: Any) -> Page:
        context = browser.new_context(reduced_motion="reduce", **options)
        context.set_default_timeout(PATIENCE * 1000)
        visits.append(Visit(context, server, path))
        return visits[-1].page

    yield visit
    for each in visits:
        each.page.context.close()
        each.check()


@pytest.fixture
def key() -> str:
    """The key of a run of its own, see `tests.template.e2e.journal`."""
    return uuid4().hex


@pytest.fixture
def anyio_backend() -> str:
    """What runs the async tests."""
    return "asyncio"
