"""The playground, in a real Chromium."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.template.e2e.assisting import SOURCES, THOUGHT
from tests.template.e2e.chromium import CHROMIUM, RIGHT, Open, ask, asked
from tests.template.e2e.patience import PATIENCE
from tests.template.e2e.server import Server

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

WIDTHS = {"phone": {"width": 360, "height": 740}, "desktop": {"width": 1280, "height": 800}}
QUESTION = "How do I stream an answer?"
STATS = """async (gaps) => {
    const { Stats } = await import("/static/stats.js");
    let now = 0;
    performance.now = () => now;
    const stats = new Stats();
    for (const gap of [1, ...gaps]) {
        now += gap;
        stats.countChunk();
    }
    stats.usage = { prompt_tokens: 3 };
    stats.render();
    return [stats.root.textContent, stats.plot.getAttribute("aria-label")];
}"""
LEFT = "(page) => page.scrollHeight - page.scrollTop - page.clientHeight"  # below what is seen of it


def test_an_answer_is_shown_while_it_streams(visit: Open, server: Server, key: str) -> None:
    page = visit(server)

    answer = ask(page, "gated-async-generator", key)

    expect(answer.locator(".text")).to_have_text("first")
    expect(answer).to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("status").first).to_have_text("Generating …")
    expect(page.get_by_role("button", name="Send")).to_be_hidden()
    server.open_gate(key)
    expect(answer.locator(".text")).to_have_text("first second")
    expect(answer).not_to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(answer.locator(".stats")).to_contain_text(re.compile(r"first token\d+(\.\d+)? m?schunks2chunks/s\d"))
    expect(answer.get_by_role("img")).to_have_accessible_name(re.compile("^Gaps between 2 chunks, the longest "))


@pytest.mark.parametrize("way", ["button", "Escape"])
def test_an_answer_that_is_stopped_is_closed_on_the_server(visit: Open, server: Server, key: str, way: str) -> None:
    page = visit(server)
    answer = ask(page, "gated-async-generator", key)
    expect(answer.locator(".text")).to_have_text("first")

    if way == "button":
        page.get_by_role("button", name="Stop").click()
    else:
        page.keyboard.press("Escape")

    assert server.wait_for(key, "closed") == ["started", "closed"]
    expect(answer).to_contain_text("Stopped.")
    expect(answer.locator(".text")).to_have_text("first")
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_the_conversation_goes_on_and_the_last_answer_is_tried_again(visit: Open, server: Server) -> None:
    page = visit(server)
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Max tokens").fill("40")
    page.get_by_label("Extra JSON").fill('{"top_k": 3, "max_tokens": 50}')
    bodies = asked(page)

    expect(ask(page, "generator", "One")).to_contain_text("Retry")
    expect(ask(page, "generator", "Two")).to_contain_text("Retry")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".answer").last).to_contain_text("Retry")

    answered = {"role": "assistant", "content": "Hello, world"}
    first, second, again = bodies
    assert first == {
        "model": "generator",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "One"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 50,
        "top_k": 3,
    }
    assert second["messages"] == [*first["messages"], answered, {"role": "user", "content": "Two"}]
    assert again == second
    expect(page.locator(".answer")).to_have_count(2)
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".answer")).to_have_count(0)


def test_an_answer_in_one_piece_is_shown_too(visit: Open, server: Server) -> None:
    page = visit(server)
    page.get_by_label("Stream the response").uncheck()

    expect(ask(page, "generator", "Hello!").locator(".text")).to_have_text("Hello, world")


def test_shift_and_enter_begin_a_line(visit: Open, shipped: Server) -> None:
    page = visit(shipped)
    prompt = page.get_by_label("Your message")

    prompt.press_sequentially("one")
    prompt.press("Shift+Enter")
    prompt.press_sequentially("two")
    prompt.press("Enter")

    expect(page.get_by_label("You", exact=True)).to_have_text("one\ntwo", use_inner_text=True)
    expect(prompt).to_have_value("")


def test_reasoning_events_and_sources_stand_around_the_text(visit: Open, server: Server) -> None:
    page = visit(server)
    page.get_by_label("Extra JSON").fill('{"notify": "All is said."}')

    answer = ask(page, "assistant", QUESTION)

    expect(answer.locator(".events > li")).to_have_count(3)
    answer.get_by_text("notification").click()
    expect(answer.get_by_text("All is said.")).to_be_visible()
    expect(answer.locator(".events")).to_contain_text("Searching the handbook")
    expect(answer.locator(".sources li summary")).to_have_text(list(SOURCES))
    expect(answer.get_by_text(THOUGHT)).to_be_hidden()
    answer.get_by_text("Reasoning").click()
    expect(answer.get_by_text(THOUGHT)).to_be_visible()
    answer.get_by_text("README.md: Hooks").click()
    expect(answer.get_by_text("A client that leaves.")).to_be_visible()
    answer.get_by_text("Searching the handbook").click()
    expect(answer.get_by_text('"name": "search"')).to_be_visible()
    expect(answer.locator("figure code")).to_contain_text('@pipelines.model("shout")')
    expect(answer.locator(".stats")).to_contain_text(re.compile(r"tokens11 → 58tokens/s\d"))


def test_a_tool_call_is_shown_and_answered(visit: Open, shipped: Server) -> None:
    page = visit(shipped)
    page.get_by_role("button", name="Add a sample tool").click()

    call = ask(page, "tools", "Paris").locator(".card")

    expect(call).to_contain_text("get_weather")
    expect(call).to_contain_text('"city": "Paris"')
    call.get_by_label("Result of get_weather, call 1").fill("Rain")
    page.get_by_role("button", name="Send result").click()
    expect(page.locator(".answer").last.locator(".text")).to_have_text("The tool says: Rain")


def test_calls_that_come_in_pieces_are_put_together(visit: Open, server: Server) -> None:
    cards = ask(visit(server), "two-calls", "Both").locator(".card")

    expect(cards).to_have_count(2)
    for card, name in zip(cards.all(), ("first", "second"), strict=True):
        expect(card.locator("strong")).to_have_text(name)
        expect(card.locator("pre")).to_have_text('{ "x": 1 }')


def test_calls_that_the_reader_leaves_are_said_to_be_left(visit: Open, server: Server) -> None:
    page = visit(server)
    bodies = asked(page)
    results = page.get_by_role("button", name="Send results")
    ask(page, "two-calls", "Both")
    expect(results).to_be_visible()

    expect(ask(page, "generator", "Never mind.")).to_contain_text("Retry")

    expect(results).to_be_hidden()
    expect(page.get_by_label("Result of first, call 1")).to_be_hidden()
    assert [message["role"] for message in bodies[-1]["messages"]] == ["user", "assistant", "tool", "tool", "user"]
    assert [message["tool_call_id"] for message in bodies[-1]["messages"][2:4]] == ["call_a", "call_b"]


def test_the_end_of_an_answer_is_in_view(visit: Open, server: Server) -> None:
    page = visit(server)
    expect(ask(page, "two-calls", "Both")).to_contain_text("Send results")

    answer = ask(page, "crash-after", "Now")

    expect(answer.get_by_role("alert")).to_be_in_viewport()
    expect(answer.get_by_role("button", name="Retry")).to_be_in_viewport()


def test_a_reader_who_scrolls_up_reads_on_in_peace(visit: Open, server: Server, key: str) -> None:
    page = visit(server, viewport={"width": 360, "height": 400})
    shown, text = page.locator("#page"), ask(page, "endless-async-generator", key).locator(".text")

    def wait_for_more() -> None:
        before = len(text.inner_text())
        page.wait_for_function("before => document.querySelector('.text').innerText.length > before + 200", arg=before)

    while shown.evaluate("page => page.scrollTop") < 100:
        wait_for_more()
    assert shown.evaluate(LEFT) < 1
    shown.hover()
    page.mouse.wheel(0, -50)
    wait_for_more()
    assert shown.evaluate(LEFT) > 40
    page.mouse.wheel(0, 10_000)
    wait_for_more()
    assert shown.evaluate(LEFT) < 1
    server.open_gate(key)


@pytest.mark.parametrize("name", ["Send", "Stop", "Retry"])
def test_a_button_that_goes_away_leaves_the_focus_to_the_prompt(
    visit: Open, server: Server, key: str, name: str
) -> None:
    page = visit(server)
    prompt = page.get_by_label("Your message")
    page.get_by_label("Model", exact=True).select_option("gated-async-generator")
    prompt.fill(key)

    for button in ("Send", "Stop", "Retry"):
        page.get_by_role("button", name=button).click()
        if button == name:
            break

    expect(prompt).to_be_focused()
    server.open_gate(key)
    expect(page.get_by_role("button", name="Retry")).to_be_visible()


def test_enter_that_ends_a_word_does_not_send_it(visit: Open, shipped: Server) -> None:
    page = visit(shipped)
    prompt = page.get_by_label("Your message")
    prompt.fill("にほん")

    prompt.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    prompt.dispatch_event("keydown", {"key": "Enter", "keyCode": 229})

    expect(prompt).to_have_value("にほん")
    expect(page.locator(".answer")).to_have_count(0)


def test_the_longest_gap_is_that_of_the_whole_answer(visit: Open, shipped: Server) -> None:
    text, label = visit(shipped).evaluate(STATS, [2000, *[5] * 300])

    assert "longest gap2.00 s" in re.sub(r"(\d+\.\d\d s)(longest gap)", r"\2\1", text)
    assert label == "Gaps between 302 chunks, the longest 2.00 s"
    assert "3 → ?" in text


def test_a_link_opens_the_document_of_the_api(visit: Open, shipped: Server) -> None:
    page = visit(shipped)

    with page.expect_popup() as opened:
        page.get_by_role("link", name="OpenAPI").click()

    assert "/v1/models" in json.loads(opened.value.locator("body").inner_text())["paths"]


def test_a_request_as_code_does_what_the_page_does(visit: Open, closed: Server) -> None:
    page = visit(closed, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("API key").fill(RIGHT)
    page.get_by_label("API key").press("Tab")
    expect(page.locator("#models option").first).to_be_attached()
    page.get_by_label("Model", exact=True).select_option("echo-function")
    page.get_by_label("Extra JSON").fill('{"user": "it\'s me", "mine": {"deep": [true, null, "x"]}}')
    prompt = 'It\'s "quoted" \\ and ☃\nin `two` lines $HOME'
    page.get_by_label("Your message").fill(prompt)

    ran = {}
    for name, command in {"curl": ["sh", "-c"], "Python": [sys.executable, "-c"]}.items():
        page.get_by_role("button", name=f"Copy as {name}").click()
        expect(page.locator("#copied")).to_have_text("Copied.")
        code = page.evaluate("navigator.clipboard.readText()")
        assert RIGHT not in code
        page.get_by_role("button", name="Close").click()
        run = subprocess.run(  # noqa: S603 - what the page has made of the lines above
            [*command, code], env={**os.environ, "API_KEY": RIGHT}, capture_output=True, check=True, timeout=PATIENCE
        )
        ran[name] = run.stdout.decode()

    assert ran["Python"] == prompt
    chunks = [json.loads(line[6:]) for line in ran["curl"].splitlines() if line.startswith("data: {")]
    assert "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]) == prompt


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(visit: Open, server: Server, width: str) -> None:
    page = visit(server, viewport=WIDTHS[width])
    expect(ask(page, "function", "x" * 500)).to_contain_text("Retry")
    expect(ask(page, "assistant", QUESTION)).to_contain_text("Retry")
    if width == "phone":
        expect(page.get_by_label("System prompt")).to_be_hidden()
        page.get_by_role("button", name="Settings").click()
    expect(page.get_by_label("System prompt")).to_be_visible()

    for element in ("document.documentElement", "document.querySelector('main')"):
        assert page.evaluate(f"{element}.scrollWidth <= {element}.clientWidth")


def test_the_settings_make_way_for_the_answer_on_a_phone(visit: Open, shipped: Server) -> None:
    page = visit(shipped, viewport=WIDTHS["phone"])
    page.get_by_role("button", name="Settings").click()
    expect(page.get_by_role("button", name="Settings")).to_have_attribute("aria-expanded", "true")

    answer = ask(page, "echo", "Hello!")

    expect(page.get_by_label("System prompt")).to_be_hidden()
    expect(answer.locator(".text")).to_have_text("Hello!")


def test_light_and_dark_are_the_systems_until_the_reader_chooses(visit: Open, shipped: Server) -> None:
    def is_dark(page: Page) -> bool:
        colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) < 3 * 128

    assert not is_dark(visit(shipped, color_scheme="light"))
    page = visit(shipped, color_scheme="dark")
    assert is_dark(page)

    page.get_by_role("button", name="Switch between light and dark").click()
    assert not is_dark(page)
    page.reload()
    assert not is_dark(page)
    page.get_by_role("button", name="Switch between light and dark").click()
    assert is_dark(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Open, server: Server, scheme: str) -> None:
    page = visit(server, color_scheme=scheme)
    expect(page.locator("#model-list li").first).to_be_visible()
    assert serious(page) == []

    answer = ask(page, "assistant", QUESTION)
    expect(answer).to_contain_text("Retry")
    for fold in answer.locator("summary").all():
        fold.click()
    expect(ask(page, "two-calls", "Both")).to_contain_text("Send results")
    expect(ask(page, "crash", "Now").get_by_role("alert")).to_be_visible()
    assert serious(page) == []

    page.get_by_role("button", name="Copy as curl").click()
    assert serious(page) == []


def serious(page: Page) -> list[tuple[str, str]]:
    """What axe calls serious or critical, and where."""
    return [
        (violation["id"], node["html"])
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def test_a_picture_of_it_is_made_when_asked_for(visit: Open, server: Server) -> None:
    page = visit(server, viewport={"width": 1280, "height": 900}, color_scheme="light", device_scale_factor=1.25)
    page.get_by_label("System prompt").fill("Answer in three sentences.")
    page.get_by_label("Temperature").fill("0.2")
    answer = ask(page, "assistant", QUESTION)
    expect(answer.get_by_role("button", name="Retry")).to_be_visible()
    answer.get_by_text("Reasoning").click()
    page.get_by_label("Your message").focus()

    picture = page.screenshot()

    assert len(picture) <= 150_000, len(picture)
    if file := os.environ.get("PICTURE"):
        Path(file).write_bytes(picture)
