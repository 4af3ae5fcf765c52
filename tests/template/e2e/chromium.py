"""The tab of a real Chromium that looks at a server's pages."""

import shutil
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request

from tests.template.e2e.server import Server

__all__ = ["CHROMIUM", "RIGHT", "WRONG", "Open", "Visit", "ask", "asked"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FAILED = "Failed to load resource"  # what Chromium says of each 4xx and 5xx, and of a connection that is cut
RIGHT, WRONG = "sk-right", "sk-wrong"  # keys, for the fixture `closed`
Open = Callable[..., Page]  # the fixture `visit`


class Visit:
    """A tab with a page of a server, and all that should not happen in it.

    Args:
        context: of the browser, for this visit alone.
        server: whose page it is.
        path: of the page.
    """

    def __init__(self, context: BrowserContext, server: Server, path: str) -> None:
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self._host = urlsplit(server.url).netloc
        context.on("request", self._note_request)
        context.on("console", self._note_message)
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"A dialog: {dialog.message}"))
        self.page.goto(server.url + path)

    def check(self) -> None:
        """No other host was asked for anything, and neither the browser nor a script has complained."""
        assert self.hosts == {self._host}
        assert self.complaints == []

    def _note_request(self, request: Request) -> None:
        self.hosts.add(urlsplit(request.url).netloc)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(FAILED):
            self.complaints.append(message.text)


def ask(page: Page, model: str, text: str) -> Locator:
    """Ask a model by the keyboard, and return its answer."""
    page.get_by_label("Model", exact=True).select_option(model)
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")
    return page.locator(".answer").last


def asked(page: Page) -> list[Any]:
    """The bodies of what the page asks models from now on."""
    bodies: list[Any] = []
    page.on("request", lambda it: bodies.append(it.post_data_json) if it.method == "POST" else None)
    return bodies
