"""The playground's models, and its turns, which are kept over a reload, edited and retried, in a real Chromium."""

import json
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.conftest import until
from tests.template.e2e.conftest import CHROMIUM, Open, ask, request_bodies
from tests.template.e2e.server import Server
from tests.template.e2e.serving import ANSWER, THOUGHT

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

STORED = """async ([turns, taken]) => {
    const { loadTurns, storeTurns } = await import("./static/history.js");
    sessionStorage.setItem("another page's", "x".repeat(taken));
    const grow = (text) => text.replace(/^(\\d+)e6$/, (_, millions) => "x".repeat(millions * 1e6));
    storeTurns(JSON.parse(JSON.stringify(turns), (_, value) => (typeof value === "string" ? grow(value) : value)));
    const shown = (content) => [content].flat().map((part) => part.text ?? part.type ?? part);
    return loadTurns().map(({ message, answer }) => answer ?? shown(message.content));
}"""
# Returns what is shown of each answer while it comes in pieces, of which an empty one is an event, and when restored.
PIECES = """async (answers) => {
    const { Answer } = await import("/static/answer.js");
    const event = { type: "status", data: { description: "Halfway" } };
    const shown = (answer) => {
        answer.finish([]);
        const blocks = [...answer.body.root.querySelectorAll("p, pre, .events")];
        return blocks.map((block) => `${block.localName} ${block.textContent.trimEnd()}`);
    };
    return answers.map((pieces) => {
        const answer = new Answer("model", () => {});
        for (const content of pieces) answer.add(content ? { choices: [{ delta: { content } }] } : { event });
        answer.complete();
        return [shown(answer), shown(Answer.restore(answer.save().answer, () => {}))];
    });
}"""
STATS = """async (gaps) => {
    const { Stats } = await import("/static/stats.js");
    let now = 0;
    performance.now = () => now;
    const stats = new Stats();
    stats.usage = { prompt_tokens: 3, completion_tokens: 0, total_tokens: 3 };
    for (const gap of gaps) {
        now += gap;
        stats.countChunk();
    }
    stats.render();
    return [...stats.root.querySelectorAll("dl > div"), stats.plot].map((it) => it.ariaLabel ?? it.textContent);
}"""
SAID = "Let me look.\n\nIt **rains**:\n```\na\nb\n```\nBye.\n\nDry?"
LOST = "[This image was too large to be kept.]"


def user(text: str, image: str = "") -> dict[str, Any]:
    """Return a stored message; a text such as `3e6` stands for one of so many characters."""
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": image}}]
    return {"message": {"role": "user", "content": parts if image else text}}


def test_a_reload_keeps_the_conversation_the_settings_and_the_draft(visit: Open, server: Server, key: str) -> None:
    page = visit(server)
    answers, prompt, system = (
        page.locator(".answer"),
        page.get_by_label("Your message"),
        page.get_by_label("System prompt"),
    )
    settings: dict[str, Any] = {"temperature": 0.5, "top_k": 3}
    system.fill("Be brief.")
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Extra JSON").fill('{"top_k": 3}')

    expect(ask(page, "assistant", "Hello!")).to_contain_text("Retry")
    shown = answers.first.inner_text()
    expect(ask(page, "gated-async-generator", key).locator(".text")).to_have_text("first")
    page.get_by_label("Model", exact=True).select_option("generator")
    prompt.fill("And then?")
    page.reload()

    expect(answers.last).to_contain_text("Interrupted by a reload.")
    until(lambda: server.events(key), ["started", "closed"].__eq__)
    assert answers.first.inner_text() == f"{shown} with generator"
    answers.first.get_by_text("Thought").click()
    expect(answers.first.get_by_text(THOUGHT)).to_be_visible()
    expect(prompt).to_have_value("And then?")
    bodies = request_bodies(page)
    prompt.press("Enter")
    expect(answers.last.locator(".text")).to_have_text("Hello, world")
    said = [("system", "Be brief."), ("user", "Hello!"), ("assistant", ANSWER), ("user", key), ("assistant", "first")]
    assert [(each["role"], each["content"]) for each in bodies[0]["messages"]] == [*said, ("user", "And then?")]
    assert {name: bodies[0][name] for name in settings} == settings
    assert bodies[0]["model"] == "generator"

    page.set_viewport_size({"width": 1280, "height": 300})
    page.evaluate("page.scrollTop = page.scrollHeight")
    page.get_by_role("button", name="New chat").click()
    assert page.evaluate("page.scrollTop") == 0
    page.reload()
    expect(page.get_by_role("heading", name="Choose a model")).to_be_visible()
    expect(answers).to_have_count(0)
    expect(system).to_have_value("Be brief.")
    for stored in ("{", '[{"message": {"role": "user", "content": "Hi"}}, {}]'):
        page.evaluate(
            "value => Object.keys(sessionStorage).forEach(name => sessionStorage.setItem(name, value))", stored
        )
        page.reload()
        expect(page.get_by_role("heading", name="Choose a model")).to_be_visible()


def test_what_is_too_large_to_be_stored_goes_by_its_age(visit: Open, server: Server) -> None:
    page = visit(server)
    answer = {"answer": "It is."}
    for turns, kept in (
        ([user("Old", "3e6"), answer, user("New", "1e6")], [["Old", LOST], "It is.", ["New", "image_url"]]),
        ([user("4e6"), answer, user("New", "3e6"), answer], [["New", LOST], "It is."]),
        ([user("5e6"), answer], []),
    ):
        for taken in (0, 3_000_000):  # by the page's own limit, and by the browser's
            assert page.evaluate(STORED, [turns, taken]) == kept


def test_any_message_is_edited_and_any_answer_retried(visit: Open, server: Server) -> None:
    page = visit(server)
    answers, edit, field = (
        page.locator(".answer"),
        page.get_by_role("button", name="Edit message"),
        page.get_by_label("Edited message"),
    )
    bodies = request_bodies(page)
    for text in ("One", "Two", "Three"):
        expect(ask(page, "echo-function", text)).to_contain_text("Retry")

    edit.nth(1).press("Enter")
    expect(field).to_be_focused()
    expect(page.get_by_text("Removes what follows.")).to_be_visible()
    field.fill("")
    field.press("Enter")
    field.press("Escape")
    expect(field).to_have_count(0)
    expect(edit.nth(1)).to_be_focused()
    edit.nth(1).press("Enter")
    expect(field).to_have_value("Two")
    field.fill("Two\nagain")
    field.press("Enter")
    expect(answers.last).to_contain_text("again")
    expect(answers).to_have_count(2)
    edit.nth(1).press("Enter")
    expect(page.get_by_text("Removes what follows.")).to_be_visible()
    page.get_by_label("Model", exact=True).select_option("generator")
    expect(page.get_by_role("button", name="Send to generator")).to_be_visible()
    expect(page.get_by_role("button", name="Retry with generator")).to_have_count(2)
    page.get_by_label("Model", exact=True).select_option("echo-function")
    expect(page.get_by_role("button", name="with generator")).to_have_count(0)
    page.get_by_role("button", name="Retry from here").click()
    expect(page.get_by_role("button", name="Retry")).to_have_count(1)
    expect(answers.locator("dt", has_text="chunk")).to_have_text("chunk")

    sent = [[message["content"] for message in body["messages"]] for body in bodies[3:]]
    assert sent == [["One", "One", "Two\nagain"], ["One"]]


def test_reasoning_is_seen_while_it_comes_and_folded_up_when_the_answer_begins(
    visit: Open, server: Server, key: str
) -> None:
    page = visit(server)
    page.evaluate("performance.now = () => window.time ?? 0")
    answer = ask(page, "gated-thinker", key)
    thought = answer.get_by_text("Let me see.")

    expect(answer.get_by_text("Thinking…")).to_be_visible()
    expect(thought).to_be_visible()
    page.evaluate("window.time = 63_200")
    server.open_gate(key)
    expect(answer.get_by_text("Thought for 1 min 3 s")).to_be_visible()
    expect(thought).to_be_hidden()
    expect(answer).to_contain_text("Retry")
    page.reload()
    answer.get_by_text("Thought for 1 min 3 s").click()
    expect(thought).to_be_visible()


def test_what_an_answer_is_made_of_stands_where_it_came(visit: Open, server: Server) -> None:
    page = visit(server, permissions=["clipboard-read", "clipboard-write"])
    bodies = request_bodies(page)
    parts = page.locator(".answer").first.locator(".body > *")
    tools = ["LookedArguments{}ResultRain", "ThoughtsIt may rain."]
    shown = ["Let me look.", *tools, "It rains:textCopya\nbBye.", "Halfway", "takeArguments{}", "Dry?"]

    for api in ("Chat completions", "Responses"):
        page.get_by_role("radio", name=api).check()
        expect(ask(page, "looking-up", "Will it rain?")).to_contain_text("Retry")
        expect(parts).to_have_text(shown)
        page.reload()
        expect(parts).to_have_text(shown)
        page.get_by_role("button", name="Retry").click()
        until(lambda: len(bodies) % 3, (2).__eq__)
        expect(page.locator(".answer")).to_contain_text("Retry")
        expect(parts).to_have_text(shown)
        page.get_by_role("button", name="Copy", exact=True).last.click()
        until(lambda: page.evaluate("navigator.clipboard.readText()"), SAID.__eq__)
        expect(ask(page, "generator", "Thanks.")).to_contain_text("Retry")
        page.get_by_role("button", name="New chat").click()

    assert bodies[2]["messages"][1]["content"] == SAID
    assert bodies[5]["input"][1]["content"] == SAID


def test_code_is_the_same_in_pieces_with_events_within_and_after_a_reload(visit: Open, server: Server) -> None:
    event = "ol Halfway"
    cases: list[tuple[list[str], list[str]]] = [
        (["    ", "x = 1\n    y = 2"], ["pre x = 1\ny = 2"]),
        (["a", "", "\n", "    ", "b = 1"], ["p a", event, "pre b = 1"]),
        (["a", "", "    ", "", "b"], ["p a", f"{event}Halfway", "pre b"]),
        (["````\n```\n", "", "  ", "b\n````\n", "", "c"], ["pre ```\n  b", event, event, "p c"]),
        (["~~~\n```\n~~~ a\n", "", "b\n~~~~\n", "", "c"], ["pre ```\n~~~ a\nb", event, event, "p c"]),
        (["```a```\n\n", "", "b"], ["p a", event, "p b"]),
    ]

    shown = visit(server).evaluate(PIECES, [pieces for pieces, _ in cases])
    assert shown == [[blocks, blocks] for _, blocks in cases]


def test_a_card_says_what_a_model_does_and_whose_it_is_if_owners_differ(visit: Open, server: Server) -> None:
    page = visit(server)
    cards = page.locator("#model-list button")
    expect(cards.filter(has_text="gated-thinker")).to_have_text("gated-thinkerThink until the gate is opened.")
    expect(page.get_by_text("custom")).to_have_count(0)

    models = [
        {"id": "a", "owned_by": "me"},
        {"id": "b", "owned_by": "you", "description": "Says b."},
        {"id": "vectors", "owned_by": "you", "type": "embeddings"},
    ]
    page.route("**/v1/models", lambda route: route.fulfill(body=json.dumps({"data": models})))
    page.reload()
    expect(cards).to_have_text(["ame", "byouSays b."])
    cards.last.click()
    expect(cards.last).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Model", exact=True)).to_have_value("b")
    expect(page.get_by_label("Your message")).to_be_focused()


def test_the_longest_gap_is_that_of_the_whole_answer(visit: Open, server: Server) -> None:
    shown = visit(server).evaluate(STATS, [1, 2000, *[5] * 300])

    assert shown == [
        *("first token1.0 ms", "chunks302", "tokens3 → 0", "chunks/s86", "longest gap2.00 s"),
        "Gaps between 302 chunks, the longest 2.00 s",
    ]
