"""Tools and images in the playground, in a real Chromium."""

from base64 import b64decode

import pytest
from playwright.sync_api import expect

from schemas.chat import Json
from tests.conftest import until
from tests.template.e2e.conftest import CHROMIUM, Open, ask, request_bodies
from tests.template.e2e.server import Server
from tests.template.e2e.test_playground import violations

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


ANSWER = """async () => {
    const { Answer } = await import("/static/answer.js");
    window.answer = new Answer("model", () => {});
    document.querySelector("#log").append(answer.root);
}"""
ADD = "(events) => events.forEach((data) => answer.add({ event: { type: 'status', data } }))"
# Adds a chunk that cannot be shown; whether it is not kept either.
ADD_WRONG = """() => {
    try {
        answer.add({ choices: [{ delta: { content: 5 } }] });
    } catch {
        return answer.save().answer.chunks.every((chunk) => chunk.event);
    }
}"""
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
# Hands files to an element by an event: a text, and a photo of 3000 x 1500 pixels.
HAND = """async ([selector, type, name]) => {
    const canvas = new OffscreenCanvas(3000, 1500);
    canvas.getContext("2d").fillRect(0, 0, 10, 10);
    const photo = new File([await canvas.convertToBlob()], "photo.png", { type: "image/png" });
    const data = new DataTransfer();
    for (const file of [photo, new File(["text"], "notes.txt")]) if (!name || file.name === name) data.items.add(file);
    const options = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
    const event = new (type === "paste" ? ClipboardEvent : DragEvent)(type, options);
    document.querySelector(selector).dispatchEvent(event);
    return event.defaultPrevented;
}"""
SIZES = """images => Promise.all(images.map(async image => {
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
}))"""


def test_a_call_in_the_server_is_one_row_from_its_beginning_to_its_end(visit: Open, server: Server) -> None:
    page = visit(server)
    rows = page.locator(".events > li")
    calls: list[Json] = [
        {"id": f"call_{name}", "name": name, "arguments": '{"x": 1}'} for name in ("one", "two", "three")
    ]
    calls += [call | {"id": None} for call in calls[:1] * 2]
    begun = [{"description": f"Calling {call['name']}", "done": False, "tool_call": call} for call in calls]
    ended = [
        {
            "description": f"{call['name']} ended",
            "done": True,
            "tool_result": call | {"result": f"R{n}", "error": n == 0},
        }
        for n, call in enumerate((calls[1], calls[0], calls[3]))
    ]

    def shown() -> list[tuple[str, str | None]]:
        return [(row.inner_text(), row.get_by_role("img").get_attribute("aria-label")) for row in rows.all()]

    page.evaluate(ANSWER)
    page.evaluate(ADD, [*begun, {"description": "Halfway", "done": False}])
    assert shown() == [*((each["description"], "running") for each in begun), ("Halfway", "running")]
    page.evaluate(ADD, ended)
    states = [("one ended", "done"), ("two ended", "failed"), ("Calling three", "running"), ("one ended", "done")]
    assert shown() == [*states, ("Calling one", "running"), ("Halfway", "done")]
    odd = {"tool_call": "search", "tool_result": True}  # which a model's own events may say
    page.evaluate(ADD, [{"description": key, key: value} for key, value in odd.items()])
    assert shown()[6:] == [("tool_result", "done")]
    page.evaluate("answer.finish([])")
    assert [state for _, state in shown()] == ["done", "failed", "no result", "done", "no result", "done", "done"]
    assert page.evaluate(ADD_WRONG)
    assert page.locator(".events > li").nth(1).text_content() == 'two endedArguments{\n  "x": 1\n}ErrorR0'


def test_tool_calls_are_shown_and_their_results_sent_or_said_to_be_missing(visit: Open, server: Server) -> None:
    page = visit(server)
    bodies = request_bodies(page)
    send = page.get_by_role("button", name="Send results")
    page.get_by_role("button", name="Add a sample tool").click()

    answer = ask(page, "two-calls", "Both")
    cards, states = answer.locator(".card"), answer.locator(".calls").get_by_role("img")
    expect(cards.locator("strong")).to_have_text(["first", "second"])
    expect(cards.locator("pre")).to_have_text(['{ "x": 1 }', '{ "x": 1 }'])
    assert [state.get_attribute("aria-label") for state in states.all()] == ["no result yet"] * 2
    page.get_by_label("Result of first, call 1").fill("Rain")
    page.get_by_label("Result of second, call 2").fill("Sun")
    send.click()
    cards = page.locator(".answer").first.locator(".card")
    expect(cards.locator("pre")).to_have_text(['{ "x": 1 }', "Rain", '{ "x": 1 }', "Sun"])
    expect(page.locator(".answer").first.get_by_role("img", name="done")).to_have_count(2)
    expect(page.locator(".answer").last).to_contain_text("Send results")
    expect(send).to_be_visible()
    expect(ask(page, "generator", "Never mind.")).to_contain_text("Retry")
    expect(send).to_be_hidden()
    expect(page.locator(".card input:enabled:visible")).to_have_count(0)

    assert [tool["function"]["name"] for tool in bodies[0]["tools"]] == ["get_weather"]
    messages = bodies[2]["messages"]
    assert bodies[1]["messages"] == messages[:4]
    assert [(message["role"], message.get("tool_call_id"), message["content"]) for message in messages] == [
        *(("user", None, "Both"), ("assistant", None, None), ("tool", "call_a", "Rain"), ("tool", "call_b", "Sun")),
        *(("assistant", None, None), ("tool", "call_a", "Not run."), ("tool", "call_b", "Not run.")),
        ("user", None, "Never mind."),
    ]


def test_images_are_picked_pasted_and_dropped_scaled_down_and_sent(visit: Open, server: Server) -> None:
    page = visit(server, permissions=["clipboard-read", "clipboard-write"])
    bodies = request_bodies(page)
    attached, prompt = page.locator("#attachments img"), page.get_by_label("Your message")
    page.get_by_label("Model", exact=True).select_option("generator")

    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Attach images").press("Enter")
    chooser.value.set_files({"name": "dot.png", "mimeType": "image/png", "buffer": b64decode(PNG)})
    expect(attached).to_have_count(1)
    assert page.evaluate(HAND, ["#prompt", "paste", "photo.png"])
    expect(attached).to_have_count(2)
    assert page.evaluate(HAND, ["#page", "dragover", ""])
    assert "dropping" in (page.locator("body").get_attribute("class") or "")
    assert page.evaluate(HAND, ["#page", "drop", ""])
    problem = "notes.txt is not an image that this browser can read. Attach a PNG, JPEG, WebP or GIF."
    expect(page.locator("#composer").get_by_role("alert")).to_have_text(problem)
    expect(attached).to_have_count(3)
    assert violations(page) == []
    page.get_by_role("button", name="Remove photo.png").last.press("Enter")
    expect(page.get_by_role("button", name="Remove photo.png")).to_be_focused()
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    assert PNG in page.evaluate("navigator.clipboard.readText()")
    expect(page.locator("#snippet")).to_contain_text(f"{PNG[:24]}…")
    page.get_by_role("button", name="Close").click()
    prompt.fill("What is this?")
    page.reload()
    expect(attached).to_have_count(2)
    prompt.press("Enter")

    expect(page.locator(".answer")).to_contain_text("Retry")
    assert page.locator(".message img").evaluate_all(SIZES) == [[1, 1], [2048, 1024]]
    expect(attached).to_have_count(0)
    text, dot, photo = bodies[0]["messages"][0]["content"]
    assert [text, dot["image_url"]["url"]] == [
        {"type": "text", "text": "What is this?"},
        f"data:image/png;base64,{PNG}",
    ]
    assert photo["image_url"]["url"].startswith("data:image/jpeg;base64,")
    page.reload()
    expect(page.get_by_label("You", exact=True)).to_have_text("What is this?")
    expect(page.locator(".message img")).to_have_count(2)
    assert page.evaluate(HAND, ["#prompt", "paste", "photo.png"])
    expect(attached).to_have_count(1)
    prompt.press("Enter")
    until(lambda: len(bodies), (2).__eq__)
    assert [part["type"] for part in bodies[1]["messages"][-1]["content"]] == ["image_url"]
