"""The servers, and the clients that use them."""

import os

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"  # before anything imports Haystack

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from openai import OpenAI
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import PATIENCE
from tests.template.e2e.chromium import CHROMIUM, RIGHT, Open, Visit
from tests.template.e2e.clients import client_of
from tests.template.e2e.server import Server


def server_fixture(name: str, **settings: str) -> Any:
    """Return a fixture for the session: a server with the models of the tests, which each test leaves as it was."""

    @pytest.fixture(scope="session", name=name)
    def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        with Server.with_own_models(tmp_path_factory.mktemp(name) / "log", **settings) as running:
            yield running

    return start


server = server_fixture("server")
talkative = server_fixture("talkative", KEEP_ALIVE_INTERVAL="0.2")
closed = server_fixture("closed", API_KEYS=RIGHT)


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The project's own server, with the models of `app/pipelines.py`."""
    with Server(tmp_path_factory.mktemp("shipped") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[OpenAI]:
    with client_of(server) as client:
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
