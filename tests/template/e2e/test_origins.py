"""Pages of other sites in a real Chromium, which cannot run the models of a server without keys."""

import json

import pytest
from playwright.sync_api import Browser

from tests.template.e2e.conftest import CHROMIUM
from tests.template.e2e.connection import PATH, chat
from tests.template.e2e.server import Server

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

FETCH = """async ([url, mode, body]) => {
    const response = await fetch(url, { method: "POST", mode, body: new Blob([body]) });
    return [response.type, response.status];
}"""


@pytest.mark.parametrize(
    ("host", "own", "mode", "answer"),
    [
        ("127.0.0.1", False, "no-cors", ["opaque", 0]),  # the same site, but not the same origin
        ("localhost", False, "no-cors", ["opaque", 0]),
        ("127.0.0.1", True, "cors", ["basic", 200]),
        ("localhost", True, "cors", ["basic", 200]),
    ],
)
def test_a_page_asks_its_own_server_alone(
    browser: Browser, server: Server, shipped: Server, key: str, host: str, own: bool, mode: str, answer: list[object]
) -> None:
    page = browser.new_page()
    page.goto(f"http://{host}:{server.port if own else shipped.port}/health")  # a page without a policy of its own
    target = f"http://{host if own else '127.0.0.1'}:{server.port}{PATH}"
    server.open_gate(key)
    assert page.evaluate(FETCH, [target, mode, json.dumps(chat("gated-async-generator", key))]) == answer
    assert server.events(key) == (["started", "finished", "closed"] if own else [])
    page.close()
