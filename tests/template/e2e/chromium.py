"""What the tests of pages in a real Chromium share."""

import shutil
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RIGHT = "sk-right"  # the API key of the fixture `closed`
Open = Callable[..., Page]  # the fixture `visit`


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
