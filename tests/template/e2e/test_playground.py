"""The playground in a real Chromium: the conversation, its settings and its layout."""

import json
import os
import re
import subprocess
import sys

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.conftest import PATIENCE, until
from tests.template.e2e.conftest import CHROMIUM, RIGHT, Open, ask, request_bodies
from tests.template.e2e.server import Server
from tests.template.e2e.serving import SOURCES, THOUGHT

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

QUESTION = "How do I stream an answer?"
SAMPLE = f"""{"x" * 500} [link](https://a.b) $x_1$[^1] <mark>a</mark> <kbd>b</kbd>

- [x] Done

| a | b |
|---|--:|

```html
<p class="a">b</p> <!-- c -->
```

```diff
+ b
```

```python
@cached
def f(x: int) -> str:  # doubled
    return f"{{x}}" if True else None or f(1.5)
```

[^1]: A note.
"""
FITS = "['html', 'main'].map(name => document.querySelector(name)).every(it => it.scrollWidth <= it.clientWidth)"
IS_DARK = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).every(colour => colour < 128)"
BELOW = "page.scrollHeight - page.scrollTop - page.clientHeight"  # pixels of the element `page` that are out of view
WITHOUT_STORAGE = """for (const name of ["localStorage", "sessionStorage"])
    Object.defineProperty(window, name, { get() { throw new DOMException("It is forbidden.", "SecurityError"); } });"""


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


def test_stopping_closes_the_generator_and_returns_the_focus(visit: Open, server: Server, key: str) -> None:
    page = visit(server)
    prompt, answer = page.get_by_label("Your message"), page.locator(".answer")
    page.get_by_label("Model", exact=True).select_option("gated-async-generator")
    prompt.fill(key)

    for run, button in enumerate(["Send", "Retry"], 1):
        page.get_by_role("button", name=button).click()
        expect(prompt).to_be_focused()
        expect(answer.locator(".text")).to_have_text("first")
        if button == "Send":
            page.get_by_role("button", name="Stop").click()
        else:
            page.keyboard.press("Escape")

        until(lambda: server.events(key), (["started", "closed"] * run).__eq__)
        expect(answer).to_contain_text("Stopped.")
        expect(answer.locator(".text")).to_have_text("first")
        expect(prompt).to_be_focused()


def test_the_conversation_goes_on_with_the_settings_and_the_last_answer_is_retried(visit: Open, server: Server) -> None:
    page = visit(server)
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Max tokens").fill("40")
    page.get_by_label("Extra JSON").fill('{"top_k": 3, "max_tokens": 50}')
    bodies = request_bodies(page)

    expect(ask(page, "generator", "One")).to_contain_text("Retry")
    expect(ask(page, "generator", "Two")).to_contain_text("Retry")
    page.get_by_role("button", name="Retry").last.click()
    expect(page.locator(".answer").last).to_contain_text("Retry")
    expect(page.locator(".answer")).to_have_count(2)
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".answer")).to_have_count(0)
    page.get_by_label("Stream the response").uncheck()
    expect(ask(page, "generator", "Three").locator(".text")).to_have_text("Hello, world")

    system, answer = {"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "Hello, world"}
    one, two, three = ({"role": "user", "content": text} for text in ("One", "Two", "Three"))
    settings = {"model": "generator", "temperature": 0.5, "max_tokens": 50, "top_k": 3}
    streamed = settings | {"stream": True, "stream_options": {"include_usage": True}}
    again = streamed | {"messages": [system, one, answer, two]}
    assert bodies == [streamed | {"messages": [system, one]}, again, again, settings | {"messages": [system, three]}]


def test_enter_sends_the_prompt_but_not_with_shift_an_ime_or_invalid_json(visit: Open, server: Server) -> None:
    page = visit(server)
    prompt, extra = page.get_by_label("Your message"), page.get_by_label("Extra JSON")

    prompt.press_sequentially("one")
    prompt.press("Shift+Enter")
    prompt.press_sequentially("にほん")
    prompt.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    prompt.dispatch_event("keydown", {"key": "Enter", "keyCode": 229})
    for wrong in ("[1", "[1]", "null"):
        extra.fill(wrong)
        prompt.press("Enter")
        expect(page.locator("#extra-problem")).to_contain_text("Extra JSON must be a JSON object")
        extra.fill("")
    expect(prompt).to_have_value("one\nにほん")
    expect(page.locator(".answer")).to_have_count(0)
    prompt.press("Enter")

    expect(page.get_by_label("You", exact=True)).to_have_text("one\nにほん", use_inner_text=True)
    expect(prompt).to_have_value("")


def test_reasoning_events_and_sources_stand_around_the_text(visit: Open, server: Server) -> None:
    page = visit(server, viewport={"width": 1280, "height": 900}, color_scheme="light", device_scale_factor=1.25)
    page.get_by_label("System prompt").fill("Answer in three sentences.")
    page.get_by_label("Temperature").fill("0.2")

    answer = ask(page, "assistant", QUESTION)

    expect(answer.locator(".stats")).to_contain_text(re.compile(r"tokens11 → 58tokens/s\d"))
    expect(answer.locator("figure code")).to_contain_text('@pipelines.model("shout")')
    expect(answer.locator(".sources li summary")).to_have_text(list(SOURCES))
    expect(answer.get_by_text(THOUGHT)).to_be_hidden()
    answer.get_by_text("Thoughts").click()
    expect(answer.get_by_text(THOUGHT)).to_be_visible()
    page.get_by_label("Your message").focus()
    assert len(page.screenshot(path=os.environ.get("PICTURE"))) <= 160_000  # docs/playground.png, when asked for
    answer.get_by_text("README.md: Hooks").click()
    expect(answer.get_by_text("A client that leaves.")).to_be_visible()
    answer.get_by_text("Searched the handbook").click()
    expect(answer.locator(".events pre")).to_have_text(['{ "query": "stream" }', "2 passages"])
    expect(answer.locator(".events").get_by_role("img", name="done")).to_have_count(2)


def test_the_end_stays_in_view_until_the_user_scrolls_up(visit: Open, server: Server, key: str) -> None:
    page = visit(server, viewport={"width": 360, "height": 400})
    answer = ask(page, "endless-async-generator", key)

    page.wait_for_function(f"() => page.scrollTop > 100 && {BELOW} < 1")
    page.locator("#page").hover()
    page.mouse.wheel(0, -50)
    page.wait_for_function(f"() => {BELOW} > 150")
    page.get_by_role("button", name="Scroll to the end").click()
    page.wait_for_function(f"() => {BELOW} < 1")
    expect(page.get_by_role("button", name="Scroll to the end")).to_be_hidden()
    expect(page.get_by_label("Your message")).to_be_focused()
    page.mouse.wheel(0, -50)
    page.wait_for_function(f"() => {BELOW} > 150")
    page.mouse.wheel(0, 10_000)
    page.wait_for_function(f"() => {BELOW} < 1")
    top = page.evaluate("page.scrollTop")
    page.wait_for_function(f"top => page.scrollTop > top + 50 && {BELOW} < 1", arg=top)

    page.keyboard.press("Escape")
    expect(answer).to_contain_text("Retry")
    failed = ask(page, "crash-after", "Now")
    expect(failed.get_by_role("alert")).to_be_in_viewport()
    expect(failed.get_by_role("button", name="Retry")).to_be_in_viewport()


def test_a_request_as_code_does_what_the_page_does(visit: Open, closed: Server) -> None:
    page = visit(closed, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("API key").fill(RIGHT)
    page.get_by_label("API key").press("Tab")
    page.get_by_label("Model", exact=True).select_option("echo-function")
    page.get_by_label("Extra JSON").fill('{"user": "it\'s me", "mine": {"deep": [true, null, "x"]}}')
    prompt = 'It\'s "quoted" \\ and ☃\nin `two` lines $HOME'
    page.get_by_label("Your message").fill(prompt)

    ran = {}
    for name, command in {"curl": ["sh", "-c"], "Python": [sys.executable, "-c"]}.items():
        page.get_by_role("button", name=f"Copy as {name}").click()
        code = page.locator("#snippet").text_content() or ""
        assert RIGHT not in code
        until(lambda: page.evaluate("navigator.clipboard.readText()"), code.__eq__)
        expect(page.locator("#copied")).to_have_text("Copied.")
        page.get_by_role("button", name="Close").click()
        environment = os.environ | {"API_KEY": RIGHT}
        ran[name] = subprocess.check_output(  # noqa: S603 - the code is made of the lines above
            [*command, code], env=environment, encoding="utf-8", timeout=4 * PATIENCE
        )

    assert ran["Python"] == prompt
    chunks = [json.loads(line[6:]) for line in ran["curl"].splitlines() if line.startswith("data: {")]
    assert "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]) == prompt


def test_light_and_dark_follow_the_system_or_the_user_even_without_storage(visit: Open, server: Server) -> None:
    page = visit(server, color_scheme="light")
    switch = page.get_by_role("button", name="Switch between light and dark")
    assert not page.evaluate(IS_DARK)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(IS_DARK)

    switch.click()
    assert not page.evaluate(IS_DARK)
    page.reload()
    assert not page.evaluate(IS_DARK)
    switch.click()
    assert page.evaluate(IS_DARK)

    page.add_init_script(WITHOUT_STORAGE)
    page.reload()
    switch.click()
    assert not page.evaluate(IS_DARK)
    page.get_by_label("API key").fill(RIGHT)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Models available")).to_be_visible()


def test_the_page_is_accessible_and_fits_a_desktop_and_a_phone(visit: Open, server: Server) -> None:
    page = visit(server)
    toggle, setting = page.get_by_role("button", name="Settings"), page.get_by_label("System prompt")
    expect(page.locator("#model-list li").first).to_be_visible()
    assert violations(page) == []

    sample = ask(page, "echo-function", SAMPLE)
    expect(sample.locator(".footnotes")).to_be_visible()
    for grammar in ("xml", "diff", "python"):
        expect(sample.locator(f"code.{grammar} span").first).to_be_visible()
    answer = ask(page, "assistant", QUESTION)
    expect(answer).to_contain_text("Retry")
    for fold in answer.locator("summary").all():
        fold.click()
    expect(ask(page, "two-calls", "Both")).to_contain_text("Send results")
    expect(ask(page, "crash", "Now").get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="Edit message").first.click()
    assert violations(page) == []
    assert page.evaluate(FITS)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Copy as curl").click()
    assert violations(page) == []
    page.get_by_role("button", name="Close").click()

    expect(setting).to_be_visible()
    page.set_viewport_size({"width": 360, "height": 740})
    expect(setting).to_be_hidden()
    assert page.evaluate(FITS)
    toggle.click()
    expect(toggle).to_have_attribute("aria-expanded", "true")
    expect(setting).to_be_visible()
    assert page.evaluate(FITS)
    expect(ask(page, "generator", "Hello!").locator(".text")).to_have_text("Hello, world")
    expect(setting).to_be_hidden()


def violations(page: Page) -> list[tuple[str, str, str]]:
    """Return what axe objects to in each colour scheme, and where."""
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        objections = Axe().run(page).response["violations"]
        found += [(scheme, each["id"], node["html"]) for each in objections for node in each["nodes"]]
    return found
