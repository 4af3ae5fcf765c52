"""A tab of a real Chromium with a page of a server."""

import shutil
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page

from tests.template.e2e.server import Server

__all__ = ["CHROMIUM", "RIGHT", "Open", "Visit", "ask", "request_bodies"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FAILED = "Failed to load resource"  # Chromium's warning about each 4xx and 5xx, and each lost connection
RIGHT = "sk-right"  # the API key of the fixture `closed`
Open = Callable[..., Page]  # the fixture `visit`


class Visit:
    """A page of a server in a browser context of its own, which records what must not happen there."""

    def __init__(self, context: BrowserContext, server: Server, path: str) -> None:
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        self._host = urlsplit(server.url).netloc
        context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        context.on("console", self._add_message)
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: self.problems.append(f"A dialog: {dialog.message}"))
        self.page.goto(server.url + path)

    def check(self) -> None:
        """Check that the page asked no other host, and that neither the browser nor a script complained."""
        assert self.hosts == {self._host}
        assert self.problems == []

    def _add_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(FAILED):
            self.problems.append(message.text)


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
