"""The servers, and the clients that use them."""

import os

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

Temporary = pytest.TempPathFactory


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: Temporary) -> Iterator[Server]:
    """The project's own server, with the models of `app/pipelines.py`."""
    with Server(tmp_path_factory.mktemp("shipped") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: Temporary) -> Iterator[Server]:
    """A server with the models of the tests, which each test leaves as it was."""
    with Server.with_own_models(tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def busy(tmp_path_factory: Temporary) -> Iterator[Server]:
    """The same, for many clients at once."""
    with Server.with_own_models(tmp_path_factory.mktemp("busy") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def talkative(tmp_path_factory: Temporary) -> Iterator[Server]:
    """A server that sends a comment as soon as a stream is silent for a moment."""
    with Server.with_own_models(tmp_path_factory.mktemp("talkative") / "log", KEEP_ALIVE_INTERVAL="0.2") as running:
        yield running


@pytest.fixture(scope="session")
def closed(tmp_path_factory: Temporary) -> Iterator[Server]:
    """A server that requires an API key."""
    with Server.with_own_models(tmp_path_factory.mktemp("closed") / "log", API_KEYS=RIGHT) as running:
        yield running


@pytest.fixture(scope="session")
def shipped_client(shipped: Server) -> Iterator[OpenAI]:
    with client_of(shipped) as client:
        yield client


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[OpenAI]:
    with client_of(server) as client:
        yield client


@pytest.fixture
async def async_client(server: Server) -> AsyncIterator[AsyncOpenAI]:
    async with async_client_of(server) as client:
        yield client


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
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
    """Opens a page of a server, and checks at the end of the test that nothing went wrong in it."""
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
    """The key of a run, see `tests.template.e2e.journal`."""
    return uuid4().hex
