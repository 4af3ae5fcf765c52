"""The playground by the Responses API, in a real Chromium."""

import io
import json
import re
import runpy
import subprocess
from contextlib import redirect_stdout
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.conftest import PATIENCE, ROOT
from tests.template.e2e.conftest import CHROMIUM, RIGHT, Open, ask, request_bodies
from tests.template.e2e.server import Server
from tests.template.e2e.serving import THOUGHT
from tests.template.e2e.test_playground import FITS, violations
from tests.template.e2e.test_playground_errors import UNEXPECTED, request_id_in, respond

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

PATH = "**/v1/responses"
PANEL = """async ([count, isRun]) => {
    const { EventPanel } = await import("./static/responses.panel.js");
    const panel = new EventPanel();
    document.body.append(panel.root);
    panel.root.open = true;
    for (let half of [0, 1]) {
        for (let i = 0; i < count; i++) panel.add({ type: "a.delta", item_id: isRun ? 0 : i, sequence_number: i });
        panel.render();
        if (!half) panel.rows.scrollTop = 1e6;
    }
    const { scrollHeight, scrollTop, clientHeight, innerText } = panel.rows;
    return [...innerText.split("\\n").filter(Boolean), scrollHeight - scrollTop - clientHeight < 1];
}"""

URL = "data:image/png;base64,iVBORw0KGgo="
FUNCTION = {"name": "add", "parameters": {"type": "object"}}
CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}},
    {"id": "call_2", "type": "custom", "custom": {"name": "shell", "input": "ls"}},
]
CHAT = {
    "model": "function",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
                {"type": "file", "file": {"filename": "a.txt", "file_data": URL}},
            ],
        },
        {"role": "assistant", "content": "Wait.", "tool_calls": CALLS},
        *({"role": "tool", "tool_call_id": call["id"], "content": "1"} for call in CALLS),
    ],
    "stream_options": {"include_usage": True, "include_obfuscation": False},
    "tools": [{"type": "function", "function": FUNCTION}, {"type": "web_search"}],
    "tool_choice": {"type": "function", "function": {"name": "add"}},
    "max_completion_tokens": 20,
    "top_p": 1,
}
BODY = {
    "model": "function",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is it?"},
                {"type": "input_image", "image_url": URL, "detail": "low"},
                {"type": "input_file", "filename": "a.txt", "file_data": URL},
            ],
        },
        {"role": "assistant", "content": "Wait."},
        {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "shell", "input": "ls"},
        {"type": "function_call_output", "call_id": "call_1", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "1"},
    ],
    "instructions": "Be brief.",
    "stream_options": {"include_obfuscation": False},
    "tools": [{"type": "function", **FUNCTION}, {"type": "web_search"}],
    "tool_choice": {"type": "function", "name": "add"},
    "max_output_tokens": 20,
    "top_p": 1,
    "store": False,
}


def by_responses(page: Page) -> Page:
    page.get_by_role("radio", name="Responses").check()
    return page


def test_events_are_listed_while_they_come_in_rows_that_show_their_json(visit: Open, server: Server, key: str) -> None:
    page = by_responses(visit(server))
    answer = ask(page, "gated-async-generator", key)
    panel = answer.locator(".api-events")
    rows = panel.locator("ol > li:visible")

    expect(answer.locator(".text")).to_have_text("first")
    expect(rows).to_have_count(0)
    panel.get_by_text("Events").click()
    expect(rows).to_have_count(5)
    expect(rows.last).to_contain_text(re.compile(r"^response\.output_text\.delta4\d\.\d\d s$"))
    rows.last.locator("summary").click()
    expect(rows.last.locator("pre")).to_contain_text('"delta": "first"')
    server.open_gate(key)
    expect(answer.locator(".text")).to_have_text("first second")
    expect(rows.nth(4)).to_contain_text(re.compile(r"^response\.output_text\.delta . 2\s*4.5"))
    expect(rows.nth(4).locator("pre")).to_contain_text(re.compile(r'"delta":"first".*\n.*"delta":" second"'))
    expect(rows.last).to_contain_text("response.completed")
    expect(panel.locator(".count")).to_have_text("10")
    expect(answer.locator(".stats")).to_contain_text("chunks2")
    assert page.evaluate(FITS)
    assert violations(page) == []


def test_the_conversation_goes_on_from_one_api_to_the_other(visit: Open, server: Server) -> None:
    page = by_responses(visit(server))
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Max tokens").fill("40")
    answer_format = {"type": "json_schema", "json_schema": {"name": "any", "schema": {}}}
    page.get_by_label("Extra JSON").fill(
        json.dumps({"top_k": 3, "reasoning_effort": "low", "response_format": answer_format})
    )
    bodies = request_bodies(page)

    answer = ask(page, "assistant", "One")
    expect(answer.locator(".stats")).to_contain_text(re.compile(r"tokens11 → 58tokens/s\d"))
    expect(answer.locator(".events > li")).to_have_text([re.compile("Searched"), re.compile("Reading")])
    expect(answer.locator(".sources li")).to_have_count(2)
    expect(answer.locator(".reasoning p")).to_have_text(THOUGHT)
    page.get_by_label("Stream the response").uncheck()
    whole = ask(page, "generator", "Two")
    expect(whole.locator(".text")).to_have_text("Hello, world")
    whole.get_by_text("Events").click()
    expect(whole.locator(".api-events ol > li:visible summary")).to_have_text(re.compile("^response"))
    page.get_by_role("radio", name="Chat completions").check()
    page.get_by_label("Extra JSON").fill("")
    expect(ask(page, "generator", "Three").locator(".text")).to_have_text("Hello, world")

    first, second, third = bodies
    user = {"role": "user", "content": "One"}
    shared = {"instructions": "Be brief.", "max_output_tokens": 40, "store": False, "top_k": 3}
    shared |= {"reasoning": {"effort": "low"}, "text": {"format": {"type": "json_schema", "name": "any", "schema": {}}}}
    assert first == {"model": "assistant", "input": [user], "stream": True, **shared}
    assert second == {"model": "generator", "input": [user, *second["input"][1:]], **shared}
    assert [item["role"] for item in second["input"]] == ["user", "assistant", "user"]
    assert [message["role"] for message in third["messages"]] == ["system", *["user", "assistant"] * 2, "user"]
    assert "store" not in third


def test_tool_calls_are_answered_by_items(visit: Open, server: Server) -> None:
    page = by_responses(visit(server))
    bodies = request_bodies(page)
    page.get_by_role("button", name="Add a sample tool").click()

    cards = ask(page, "two-calls", "Both").locator(".card")
    expect(cards.locator("pre")).to_have_text(['{ "x": 1 }', '{ "x": 1 }'])
    page.get_by_label("Result of first, call 1").fill("Rain")
    page.get_by_label("Result of second, call 2").fill("Sun")
    page.get_by_role("button", name="Send results").click()
    expect(page.locator(".answer").last).to_contain_text("Send results")
    page.reload()
    expect(ask(page, "echo-function", "And now?").locator(".text")).to_have_text("And now?")

    assert bodies[2]["input"][:6] == [*bodies[1]["input"], bodies[1]["input"][1]]
    assert bodies[0]["tools"][0].items() >= {"type": "function", "name": "get_weather"}.items()
    calls = {"call_a": ("first", "Rain"), "call_b": ("second", "Sun")}
    assert bodies[1]["input"] == [
        {"role": "user", "content": "Both"},
        *(
            {"type": "function_call", "call_id": call, "name": name, "arguments": '{"x": 1}'}
            for call, (name, _) in calls.items()
        ),
        *({"type": "function_call_output", "call_id": call, "output": result} for call, (_, result) in calls.items()),
    ]


def test_all_that_a_chat_has_becomes_what_the_api_takes(visit: Open, server: Server) -> None:
    translate = 'async (chat) => (await import("./static/responses.js")).RESPONSES.toBody(chat)'

    assert visit(server).evaluate(translate, CHAT) == BODY
    assert httpx.post(f"{server.url}/v1/responses", json=BODY, timeout=PATIENCE).status_code == 200


def test_errors_name_their_request_before_and_within_a_stream(visit: Open, server: Server) -> None:
    page = by_responses(visit(server))

    page.get_by_label("Temperature").fill("3")
    refused = ask(page, "generator", "Hello!")
    expect(refused.get_by_role("alert")).to_contain_text(re.compile("temperature.*400"))
    expect(refused.locator(".api-events")).to_be_hidden()
    page.get_by_label("Temperature").fill("")
    failed = ask(page, "refuse-after", "Hello!")
    expect(failed.get_by_role("alert")).to_contain_text(re.compile(r"The index is being rebuilt\..*rebuilding"))
    assert [line["error"] for line in server.lines_of(request_id_in(failed))] == ["rebuilding"]
    expect(failed.locator(".text")).to_have_text("one two")
    failed.get_by_text("Events").click()
    expect(failed.locator(".api-events ol > li").nth(-2)).to_contain_text("error")
    expect(failed.locator(".api-events ol > li").last).to_contain_text("response.failed")

    for name, response in UNEXPECTED.items():
        respond(page, PATH, response)
        if name != "a frame of another shape":
            expect(ask(page, "generator", name).get_by_role("alert")).to_contain_text("Unexpected response")


def test_items_of_other_kinds_are_shown_too_streamed_or_whole(visit: Open, server: Server) -> None:
    page = by_responses(visit(server))
    bodies = request_bodies(page)

    for _ in ("streamed", "whole"):
        answer = ask(page, "own-items", "Hello!")
        expect(answer.locator(".reasoning p")).to_have_text("One. Two.")
        expect(answer.locator(".events")).to_contain_text("web search call")
        expect(answer.locator(".text p")).to_have_text(["Rain.", "No more."])
        answer.locator(".sources summary").click()
        expect(answer.get_by_role("link")).to_have_attribute("href", "https://example.com/")
        expect(answer).to_contain_text("Finish reason: max_output_tokens.")
        expect(answer.locator(".stats")).to_contain_text("tokens3 → 4")
        expect(answer.locator(".card")).to_contain_text(re.compile(r"shell\s*Input\s*ls -l"))
        page.get_by_label("Stream the response").uncheck()
    answer.get_by_label("Result of shell, call 1").fill("a.txt")
    answer.get_by_role("button", name="Send result").click()
    expect(page.locator(".answer").last).to_contain_text("Send result")

    assert bodies[-1]["input"][-2:] == [
        {"type": "custom_tool_call", "call_id": "call_1", "name": "shell", "input": "ls -l"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "a.txt"},
    ]


def test_a_request_as_code_does_what_the_page_does_by_responses(
    visit: Open, closed: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = by_responses(visit(closed))
    monkeypatch.setenv("API_KEY", RIGHT)
    page.get_by_label("API key").fill(RIGHT)
    page.get_by_label("API key").press("Tab")
    page.get_by_label("Model", exact=True).select_option("echo-function")
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Extra JSON").fill('{"user": "it\'s me", "mine": [true, null]}')
    prompt = 'It\'s "quoted" \\ and ☃'
    page.get_by_label("Your message").fill(prompt)

    def code(language: str) -> str:
        page.get_by_role("button", name=f"Copy as {language}").click()
        shown = page.locator("#snippet").text_content() or ""
        page.get_by_role("button", name="Close").click()
        return shown

    command = ["sh", "-c", code("curl")]
    ran = subprocess.check_output(command, encoding="utf-8", timeout=PATIENCE)  # noqa: S603 - made of the lines above
    events = [json.loads(line[6:]) for line in ran.splitlines() if line.startswith("data: {")]
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == prompt
    assert (events[-1]["response"]["store"], events[-1]["response"]["instructions"]) == (False, "Be brief.")
    for _ in ("streamed", "whole"):
        names: dict[str, Any] = {}
        with redirect_stdout(io.StringIO()) as printed:
            exec(code("Python"), names)  # noqa: S102 - the code is made of the lines above
        names["client"].close()
        assert printed.getvalue().strip() == prompt
        page.get_by_label("Stream the response").uncheck()


def test_thousands_of_events_have_few_elements_and_the_last_stay_in_view(visit: Open, server: Server) -> None:
    page = visit(server)

    kind, numbers, _, in_view = page.evaluate(PANEL, [4000, True])
    assert (kind[:7], kind[-5:], numbers[:1], numbers[-4:], in_view) == ("a.delta", "8,000", "0", "3999", True)
    first, *rows, in_view = page.evaluate(PANEL, [4000, False])
    assert (first, len(rows), rows[-3:-1], in_view) == ("7,700 earlier rows", 3 * 300, ["a.delta", "3999"], True)


def test_without_the_pack_the_page_offers_chats_alone(visit: Open, server: Server) -> None:
    page = visit(server)
    finish = runpy.run_path(str(ROOT / ".scaffold" / "finish.py"))

    def without_pack(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=finish["without_marked_lines"](response.text(), {"responses"}))

    page.route("**/static/responses.*", lambda route: route.abort())
    page.route(re.compile(r"/$|\.js$"), without_pack)
    page.reload()

    expect(ask(page, "generator", "Hello!").locator(".text")).to_have_text("Hello, world")
    expect(page.get_by_role("radio")).to_have_count(0)
