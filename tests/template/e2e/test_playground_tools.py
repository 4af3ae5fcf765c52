"""Tools and images in the playground, in a real Chromium."""

import pytest
from playwright.sync_api import expect

from schemas.chat import Json
from tests.template.e2e.conftest import CHROMIUM, Open, ask, request_bodies
from tests.template.e2e.server import Server

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


ANSWER = """async () => {
    const { Answer } = await import("/static/answer.js");
    window.answer = new Answer("model", () => {});
    document.querySelector("#log").append(answer.root);
}"""
ADD = "(events) => events.forEach((data) => answer.add({ event: { type: 'status', data } }))"


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
    page.evaluate("answer.finish([])")
    assert [state for _, state in shown()] == ["done", "failed", "no result", "done", "no result", "done"]
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
