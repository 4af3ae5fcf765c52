"""What the playground says when something is wrong: an answer, a key, a server; in a real Chromium."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.template.e2e.chromium import CHROMIUM, RIGHT, WRONG, Open, ask, asked
from tests.template.e2e.server import Server

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

STREAM, JSON, HTML = "text/event-stream", "application/json", "text/html"
CALL = {"index": 0, "id": "call_1", "function": {"name": "get_weather", "arguments": '{"ci'}}
ODD = {  # answers that no API of this kind gives
    "a page": (200, HTML, "<html>"),
    "other JSON": (200, JSON, '{"oops": 1}'),
    "an error without one": (400, JSON, "null"),
    "a page in the middle": (200, STREAM, "data: <html>\n\n"),
    "a frame of another shape": (200, STREAM, 'data: {"choices": [null]}\n\n'),
}
WITHOUT_STORAGE = """for (const name of ["localStorage", "sessionStorage"])
    Object.defineProperty(window, name, { get() { throw new DOMException("It is forbidden.", "SecurityError"); } });"""


def answer_with(page: Page, *frames: Any, end: str = "data: [DONE]\n\n") -> None:
    """Let the server of a page answer with these frames."""
    body = "".join(f"data: {json.dumps(frame)}\n\n" for frame in frames) + end
    page.route("**/v1/chat/completions", lambda route: route.fulfill(content_type=STREAM, body=body))


def request_id_in(place: Locator) -> str:
    """The id of the request that an error names."""
    found = re.search(r"request (\S+)", place.inner_text())
    assert found, place.inner_text()
    return found[1]


def test_an_error_before_the_answer_is_a_sentence_with_the_id_of_its_request(visit: Open, server: Server) -> None:
    page = visit(server)
    page.get_by_label("Temperature").fill("3")

    alert = ask(page, "generator", "Hello!").get_by_role("alert")

    expect(alert).to_contain_text("temperature")
    expect(alert).to_contain_text("400")
    (line,) = server.lines_of(request_id_in(alert))
    assert line["status"] == 400


def test_an_error_in_the_middle_leaves_what_was_said(visit: Open, server: Server) -> None:
    fields = {"message": "The index is being rebuilt.", "code": "rebuilding"}

    answer = ask(visit(server), "refuse-after", json.dumps(fields))

    alert = answer.get_by_role("alert")
    expect(alert).to_contain_text("The index is being rebuilt.")
    expect(alert).to_contain_text("rebuilding")
    expect(answer.locator(".text")).to_have_text("one two")
    (line,) = server.lines_of(request_id_in(alert))
    assert line["error"] == "rebuilding"


def test_a_server_that_is_gone_is_an_error_too(visit: Open, tmp_path: Path, key: str) -> None:
    server = Server.with_own_models(tmp_path / "log")
    try:
        server.wait_for_log("Uvicorn running")
        page = visit(server)
        answer = ask(page, "gated-async-generator", key)
        expect(answer.locator(".text")).to_have_text("first")
    finally:
        server.kill()

    expect(answer.get_by_role("alert")).to_contain_text("lost before the response was complete")
    assert request_id_in(answer.get_by_role("alert")).startswith("req_")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".answer").get_by_role("alert")).to_contain_text("could not be reached")


def test_a_call_that_was_cut_is_no_call(visit: Open, shipped: Server) -> None:
    page = visit(shipped)
    bodies = asked(page)
    answer_with(page, {"choices": [{"delta": {"content": "Hm.", "tool_calls": [CALL]}}]}, end="")

    expect(ask(page, "echo", "Paris").get_by_role("alert")).to_contain_text("lost before")

    expect(page.get_by_role("button", name="Send result")).to_have_count(0)
    expect(ask(page, "echo", "And now?")).to_contain_text("Retry")
    assert bodies[-1]["messages"][1] == {"role": "assistant", "content": "Hm."}


@pytest.mark.parametrize("odd", ODD)
def test_an_answer_that_is_none_of_this_api_is_said_to_be(visit: Open, shipped: Server, odd: str) -> None:
    page = visit(shipped)
    status, content_type, body = ODD[odd]
    page.route(
        "**/v1/chat/completions", lambda route: route.fulfill(status=status, content_type=content_type, body=body)
    )

    alert = ask(page, "echo", "Hello!").get_by_role("alert")

    expect(alert).to_contain_text("Unexpected response from the server")


@pytest.mark.parametrize("status", [200, 502])
def test_a_page_that_a_proxy_puts_in_is_said_to_be(visit: Open, shipped: Server, status: int) -> None:
    page = visit(shipped)
    page.route("**/v1/models", lambda route: route.fulfill(status=status, content_type=HTML, body="<html>"))

    page.reload()

    expect(
        page.get_by_role("alert").filter(has_text=f"Unexpected response from the server (status {status})")
    ).to_be_visible()


def test_an_empty_answer_and_one_of_several_are_said_to_be(visit: Open, server: Server) -> None:
    page = visit(server)
    expect(ask(page, "nothing", "Hello!")).to_contain_text("The model returned no text.")
    choices = [{"index": index, "delta": {"content": f"answer {index}"}} for index in (0, 1, 2)]
    answer_with(page, {"choices": choices}, {"choices": choices[1:]})

    answer = ask(page, "generator", "Hello!")

    expect(answer.locator(".text")).to_have_text("answer 0")
    expect(answer.get_by_text("the first is shown")).to_have_count(1)


def test_events_of_any_shape_leave_the_answer_whole(visit: Open, shipped: Server) -> None:
    page = visit(shipped)
    datas = [None, {"document": "A text.", "metadata": None}, {"document": None, "source": {"name": "A book"}}]
    events = [*({"type": "citation", "data": data} for data in datas), {"foo": 1}, {"type": "status", "data": None}]
    answer_with(page, *({"event": event} for event in events), {"choices": [{"delta": {"content": "Hello!"}}]})

    answer = ask(page, "echo", "Hello!")

    expect(answer.locator(".text")).to_have_text("Hello!")
    expect(answer.locator(".sources summary")).to_have_text(["Unnamed", "Unnamed", "A book"])
    expect(answer.locator(".events > li")).to_have_count(2)
    answer.locator(".events summary").click()
    expect(answer.locator(".events pre")).to_have_text('{ "foo": 1 }')


def test_the_models_are_asked_for_again_where_there_are_none(visit: Open, server: Server) -> None:
    page = visit(server)
    prompt = page.get_by_label("Your message")
    page.route("**/v1/models", lambda route: route.abort())
    page.reload()
    expect(page.locator("#notice")).to_contain_text("could not be reached")

    page.unroute("**/v1/models")
    page.route("**/v1/models", lambda route: route.fulfill(json={"data": []}))
    prompt.fill("Hello!")
    prompt.press("Enter")
    expect(page.locator("#notice")).to_have_text("This server has no models.")
    page.unroute("**/v1/models")
    prompt.press("Enter")

    expect(page.locator("#model-list li").first).to_be_visible()
    expect(page.locator("#notice")).to_be_empty()
    expect(prompt).to_have_value("Hello!")


def test_json_that_is_none_is_not_sent(visit: Open, shipped: Server) -> None:
    page = visit(shipped)
    page.get_by_label("Extra JSON").fill("[1")

    page.get_by_label("Your message").fill("Hello!")
    page.keyboard.press("Enter")

    expect(page.locator("#extra-problem")).to_contain_text("Extra JSON must be a JSON object")
    expect(page.get_by_label("Your message")).to_have_value("Hello!")
    expect(page.locator(".answer")).to_have_count(0)


def test_a_wrong_key_is_told_and_a_right_one_is_kept_for_the_tab(visit: Open, closed: Server) -> None:
    page = visit(closed)
    field = page.get_by_label("API key")
    expect(page.locator("#notice")).to_contain_text("Send your API key")
    expect(field).to_be_focused()

    field.fill(WRONG)
    field.press("Tab")
    expect(page.locator("#notice")).to_contain_text("The API key is incorrect")
    assert request_id_in(page.locator("#notice"))
    field.fill(RIGHT)
    field.press("Tab")

    expect(ask(page, "generator", "Hello!").locator(".text")).to_have_text("Hello, world")
    assert page.evaluate("localStorage.length + document.cookie.length") == 0
    page.reload()
    expect(page.get_by_label("API key")).to_have_value(RIGHT)


def test_a_key_that_is_wrong_does_not_take_the_focus_from_who_writes(visit: Open, closed: Server) -> None:
    page = visit(closed)
    prompt, field = page.get_by_label("Your message"), page.get_by_label("API key")
    expect(field).to_be_focused()

    field.fill(WRONG)
    prompt.click()
    prompt.press_sequentially("Hello")
    expect(page.locator("#notice")).to_contain_text("The API key is incorrect")
    prompt.press_sequentially(" there")

    expect(prompt).to_have_value("Hello there")
    expect(field).to_have_value(WRONG)


def test_a_phone_says_by_the_key_what_becomes_of_it(visit: Open, closed: Server) -> None:
    page = visit(closed, viewport={"width": 360, "height": 740})
    field = page.get_by_label("API key")
    expect(field).to_be_focused()

    field.fill(WRONG)
    field.press("Enter")
    expect(field).to_have_accessible_description(re.compile("The API key is incorrect"))
    field.fill(RIGHT)
    field.press("Enter")

    expect(field).to_have_accessible_description(re.compile(r"Models available: \d\d"))


def test_a_key_that_no_header_can_carry_is_told(visit: Open, closed: Server) -> None:
    page = visit(closed)
    alert, field = page.get_by_role("alert").filter(has_text="key"), page.get_by_label("API key")
    expect(alert).to_contain_text("Send your API key")

    field.fill("ключ")
    field.press("Enter")
    expect(alert).to_contain_text("characters that a header cannot carry")
    field.fill(RIGHT)
    field.press("Enter")

    expect(alert).to_have_count(0)


def test_the_document_is_shown_where_a_link_would_send_no_key(visit: Open, closed: Server) -> None:
    page = visit(closed, permissions=["clipboard-read", "clipboard-write"])
    field, link = page.get_by_label("API key"), page.get_by_role("link", name="OpenAPI")
    expect(field).to_be_focused()
    expect(link).to_be_hidden()
    field.fill(RIGHT)
    field.press("Enter")

    link.click()
    shown = page.get_by_role("dialog", name="OpenAPI document")
    shown.get_by_role("button", name="Copy").click()

    expect(shown.get_by_role("button", name="Copied")).to_be_visible()
    assert "/v1/models" in json.loads(page.evaluate("navigator.clipboard.readText()"))["paths"]
    shown.get_by_role("button", name="Close").click()
    page.route("**/openapi.json", lambda route: route.fulfill(status=502, content_type=HTML, body="<html>"))
    link.click()
    expect(page.locator("#notice")).to_contain_text("Unexpected response from the server (status 502)")


def test_the_page_does_without_storage(visit: Open, closed: Server) -> None:
    page = visit(closed)
    page.add_init_script(WITHOUT_STORAGE)
    page.reload()

    page.get_by_role("button", name="Switch between light and dark").click()
    page.get_by_label("API key").fill(RIGHT)
    page.keyboard.press("Enter")

    expect(page.locator("#model-list li").first).to_be_visible()
