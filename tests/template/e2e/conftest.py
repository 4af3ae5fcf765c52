"""The servers, and the clients that use them."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.conftest import PATIENCE
from tests.template.e2e.server import SERVING, Server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RIGHT = "sk-right"  # the API key of the fixture `closed`
Open = Callable[..., Page]  # the fixture `visit`
FAILED = "Failed to load resource"  # Chromium's warning about each 4xx and 5xx, and each lost connection


def server_fixture(name: str, app: str | None = SERVING, **settings: str) -> Any:
    """Return a fixture for the session: a server, which each test leaves as it was."""

    @pytest.fixture(scope="session", name=name)
    def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        with Server(tmp_path_factory.mktemp(name) / "log", app=app, **settings) as running:
            yield running

    return start


server = server_fixture("server")
talkative = server_fixture("talkative", KEEP_ALIVE_INTERVAL="0.2")
closed = server_fixture("closed", API_KEYS=RIGHT)
LIMITS = {"REQUEST_TIMEOUT": "2", "WRITE_TIMEOUT": "2", "SYNC_WORKERS": "2"}  # for requests and readers
strict = server_fixture("strict", MAX_HEADER_SIZE="8000", MAX_BODY_SIZE="10000", **LIMITS)
shipped = server_fixture("shipped", None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # which root cannot have
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Opens the page of a server in a new context, and checks at the end of the test that nothing went wrong in any."""
    contexts: list[BrowserContext] = []
    requests: list[tuple[str, str]] = []
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(FAILED):
            problems.append(message.text)

    def visit(server: Server, **options: Any) -> Page:
        context = browser.new_context(reduced_motion="reduce", **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE * 1000)
        context.on("request", lambda request: requests.append((server.url, request.url)))
        context.on("console", note)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(f"A dialog: {dialog.message}"))
        page.goto(f"{server.url}/")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert all(url.startswith(f"{server}/") for server, url in requests)
    assert problems == []


def ask(page: Page, model: str, text: str) -> Locator:
    """Ask a model by the keyboard, and return the element of its answer."""
    page.get_by_label("Model", exact=True).select_option(model)
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")
    return page.locator(".answer").last


def request_bodies(page: Page) -> list[Any]:
    """Return a list to which the body of each later POST of the page is added."""
    bodies: list[Any] = []
    page.on("request", lambda request: bodies.append(request.post_data_json) if request.method == "POST" else None)
    return bodies
