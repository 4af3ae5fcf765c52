"""What the playground shows when an answer, a key or the server fails, in a real Chromium."""

import json
import re
import socket
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.conftest import PATIENCE
from tests.template.e2e.conftest import CHROMIUM, RIGHT, Open, ask, request_bodies
from tests.template.e2e.server import Server

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

COMPLETIONS, DONE = "**/v1/chat/completions", "data: [DONE]\n\n"
STREAM, JSON, HTML = "text/event-stream", "application/json", "text/html"
UNEXPECTED: dict[str, dict[str, Any]] = {  # responses that no API of this kind sends
    "a page": {"content_type": HTML, "body": "<html>"},
    "other JSON": {"content_type": JSON, "body": '{"oops": 1}'},
    "an error without one": {"content_type": JSON, "body": "null", "status": 400},
    "a page in a stream": {"content_type": STREAM, "body": "data: <html>\n\n"},
    "a frame of another shape": {"content_type": STREAM, "body": 'data: {"choices": [null]}\n\n'},
}
MODELS: dict[str, dict[str, Any] | None] = {  # what the page shows: the response to its request for the models
    "The server could not be reached.": None,
    "Unexpected response from the server (status 200)": {"content_type": HTML, "body": "<html>"},
    "Unexpected response from the server (status 502)": {"content_type": HTML, "body": "<html>", "status": 502},
    "This server has no models to chat with.": {"json": {"data": []}},
}
CALL = {"index": 0, "id": "call_1", "function": {"name": "get_weather", "arguments": '{"ci'}}
HALF = f"""HTTP/1.1 200 OK\r
content-type: text/event-stream\r
content-length: 1000\r
x-request-id: req_1\r
\r
data: {json.dumps({"choices": [{"delta": {"content": "first", "tool_calls": [CALL]}}]})}

"""


def respond(page: Page, path: str, response: dict[str, Any] | None) -> None:
    """Let the requests of a page for a path have a response, or fail if it is None."""
    page.route(path, lambda route: route.fulfill(**response) if response else route.abort())


def request_id_in(place: Locator) -> str:
    """Return the id of the request that an error names."""
    found = re.search(r"request (\S+)", place.inner_text())
    assert found, place.inner_text()
    return found[1]


def test_an_error_names_its_request_and_leaves_the_text_before_it(visit: Open, server: Server) -> None:
    page = visit(server)
    alert = page.locator(".answer").last.get_by_role("alert")

    page.get_by_label("Temperature").fill("3")
    ask(page, "generator", "Hello!")
    expect(alert).to_contain_text(re.compile("temperature.*400"))
    assert [line["status"] for line in server.lines_of(request_id_in(alert))] == [400]
    page.get_by_label("Temperature").fill("")
    answer = ask(page, "refuse-after", "Hello!")
    expect(alert).to_contain_text(re.compile(r"The index is being rebuilt\..*rebuilding"))
    assert [line["error"] for line in server.lines_of(request_id_in(alert))] == ["rebuilding"]
    expect(answer.locator(".text")).to_have_text("one two")


def test_a_lost_connection_is_an_error_and_drops_incomplete_tool_calls(visit: Open, server: Server) -> None:
    page, connections = visit(server), list[socket.socket]()
    bodies = request_bodies(page)

    def send_half_an_answer(route: Route) -> None:
        route.continue_(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        connections.append(listener.accept()[0])
        connections[0].recv(65_536)
        connections[0].sendall(HALF.encode())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        page.route(COMPLETIONS, send_half_an_answer)
        answer = ask(page, "generator", "Paris")
        expect(answer.locator(".text")).to_have_text("first")
        connections[0].close()
    expect(answer.get_by_role("alert")).to_contain_text("lost before the response was complete")
    assert request_id_in(answer) == "req_1"
    expect(page.get_by_role("button", name="Send result")).to_have_count(0)

    respond(page, COMPLETIONS, None)
    expect(ask(page, "generator", "And now?").get_by_role("alert")).to_contain_text("could not be reached")
    assert bodies[-1]["messages"][1] == {"role": "assistant", "content": "first"}


def test_a_response_that_is_not_of_this_api_is_an_error(visit: Open, server: Server) -> None:
    page = visit(server)

    for name, response in UNEXPECTED.items():
        respond(page, COMPLETIONS, response)
        alert = ask(page, "generator", name).get_by_role("alert")
        expect(alert, name).to_contain_text("Unexpected response from the server")
        page.get_by_role("button", name="New chat").click()


def test_frames_of_unusual_shape_leave_the_answer_whole(visit: Open, server: Server) -> None:
    page = visit(server)
    choices = [{"index": index, "delta": {"content": f"answer {index}"}} for index in (0, 1, 2)]
    sources = [None, {"document": "A text.", "metadata": None}, {"document": None, "source": {"name": "A book"}}]
    events: list[dict[str, Any]] = [{"type": "citation", "data": source} for source in sources]
    events += [{"foo": 1}, {"type": "status", "data": None}, {"type": "notification", "data": {"content": "Done."}}]
    frames = [*({"event": event} for event in events), {"choices": choices}, {"choices": choices[1:]}]
    body = "".join(f"data: {json.dumps(frame)}\n\n" for frame in frames) + DONE

    respond(page, COMPLETIONS, {"content_type": STREAM, "body": DONE})
    expect(ask(page, "generator", "Hello!")).to_contain_text("The model returned no text.")
    respond(page, COMPLETIONS, {"content_type": STREAM, "body": body})
    answer = ask(page, "generator", "Hello!")

    expect(answer.locator(".text")).to_have_text("answer 0")
    expect(answer.get_by_text("the first is shown")).to_have_count(1)
    expect(answer.locator(".sources summary")).to_have_text(["Unnamed", "Unnamed", "A book"])
    events_shown = ['event{ "foo": 1 }', "status", 'notification{ "content": "Done." }']
    expect(answer.locator(".events > li")).to_have_text(events_shown)


def test_the_models_are_asked_for_again_where_there_are_none(visit: Open, server: Server) -> None:
    page = visit(server)
    prompt, notice = page.get_by_label("Your message"), page.locator("#notice")

    for shown, response in MODELS.items():
        respond(page, "**/v1/models", response)
        page.reload()
        expect(notice).to_contain_text(shown)
    page.unroute("**/v1/models")
    prompt.fill("Hello!")
    prompt.press("Enter")

    expect(page.locator("#model-list li").first).to_be_visible()
    expect(notice).to_be_empty()
    expect(prompt).to_have_value("Hello!")


def test_a_wrong_key_is_an_error_and_the_right_one_is_kept_for_the_tab(visit: Open, closed: Server) -> None:
    page = visit(closed, viewport={"width": 360, "height": 740})  # a phone, where the settings cover the notice
    notice, field, prompt = page.locator("#notice"), page.get_by_label("API key"), page.get_by_label("Your message")
    expect(notice).to_contain_text("This server wants an API key. Enter it under Settings.")
    expect(field).to_have_accessible_description("This server wants an API key.")
    expect(field).to_be_focused()
    expect(page.get_by_role("heading", name="Choose a model")).to_be_hidden()
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("button", name="Enter the key").click()
    expect(field).to_be_focused()

    field.fill("sk-wrong")
    prompt.press_sequentially("Hello")
    expect(notice).to_contain_text("The server did not accept this API key. Check it")
    page.keyboard.type(" there")
    expect(prompt).to_have_value("Hello there")
    assert request_id_in(notice)
    expect(field).to_have_accessible_description(re.compile("The server did not accept this API key"))
    field.fill("ключ")
    field.press("Enter")
    expect(notice).to_contain_text("characters that a header cannot carry")
    field.fill(RIGHT)
    field.press("Enter")
    expect(notice).to_be_empty()
    expect(field).to_have_accessible_description(re.compile(r"Models available: \d\d"))

    expect(ask(page, "generator", "Hello!").locator(".text")).to_have_text("Hello, world")
    assert page.evaluate("localStorage.length + document.cookie.length") == 0
    page.reload()
    expect(field).to_have_value(RIGHT)
    respond(page, COMPLETIONS, {"status": 401, "json": {"error": {"message": "Expired.", "code": "expired"}}})
    refused = ask(page, "generator", "And now?").get_by_role("alert")
    expect(refused).to_contain_text("The server did not accept this API key.")
    expect(field).to_be_focused()


def test_the_openapi_document_is_linked_or_shown_with_a_key(visit: Open, server: Server, closed: Server) -> None:
    public = visit(server)
    with public.expect_popup() as opened:
        public.get_by_role("link", name="OpenAPI").click()
    assert "/v1/models" in json.loads(opened.value.locator("body").inner_text())["paths"]

    page = visit(closed, permissions=["clipboard-read", "clipboard-write"])
    field, link = page.get_by_label("API key"), page.get_by_role("link", name="OpenAPI")
    expect(field).to_be_focused()
    expect(link).to_be_hidden()
    field.fill(RIGHT)
    field.press("Enter")
    link.click()
    shown = page.get_by_role("dialog", name="OpenAPI document")
    page.evaluate("window.setTimeout = () => 0")  # which would end "Copied" after a moment
    shown.get_by_role("button", name="Copy").click()
    expect(shown.get_by_role("button", name="Copied")).to_be_visible()
    assert "/v1/models" in json.loads(page.evaluate("navigator.clipboard.readText()"))["paths"]

    shown.get_by_role("button", name="Close").click()
    respond(page, "**/openapi.json", {"status": 502, "content_type": HTML, "body": "<html>"})
    link.click()
    expect(page.locator("#notice")).to_contain_text("Unexpected response from the server (status 502)")
