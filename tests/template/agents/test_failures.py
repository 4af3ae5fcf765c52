"""Agents that fail, and clients that leave them."""

import logging
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("agents", reason="needs the extra `openai-agents`")
pytest.importorskip("langgraph", reason="needs the extra `langgraph`")
pytest.importorskip("pydantic_ai", reason="needs the extra `pydantic-ai`")

import asyncio

from app.model import Body, CompletionError, Messages
from schemas.chat import Json
from tests.conftest import Serve, ask, chunks_of, error_of, live, yielding
from tests.template.agents.frameworks import FRAMEWORKS, Script, calling, each_framework, each_mode
from tests.template.asgi import AsgiClient, running
from tests.template.asgi import until as until_seen
from tests.template.conftest import UNEXPECTED, error_object
from tests.template.e2e.journal import Run, noted
from tests.template.upstream import Upstream

SECRET = "the key sk-12345 of the account acme"  # noqa: S105 - which an upstream may well name
TOO_LONG = {"message": "Too long.", "type": "invalid_request_error", "param": "messages", "code": "too_long"}
FAILED = error_object("The upstream model failed.", type="server_error", code="upstream_error")
LIMITED = error_object(
    "The upstream model is over its rate limit. Try again later.", type="rate_limit_error", code="rate_limit_exceeded"
)
ANSWERS: dict[str, tuple[int, Json, int, Json]] = {
    "wrong": (400, {"error": TOO_LONG}, 400, TOO_LONG),
    "key": (401, {"error": {"message": SECRET, "code": "invalid_api_key"}}, 502, FAILED),
    "rate": (429, {"error": {"message": SECRET}}, 429, LIMITED),
    "down": (500, {"error": {"message": SECRET}}, 502, FAILED),
}
MALFORMED: dict[str, tuple[Json, str]] = {
    "part": ({"role": "user", "content": [{"type": "video", "video": {}}]}, "messages[0]"),
    "call": ({"role": "assistant", "tool_calls": [{"id": "call_a"}]}, "messages[0]"),
    "tool": ({"role": "tool", "content": "Rain."}, "messages[0]"),
}


@each_mode
@each_framework
@pytest.mark.parametrize("name", ANSWERS)
def test_an_error_of_the_upstream_keeps_its_status_and_tells_no_secret(
    serve: Serve, framework: str, name: str, stream: bool
) -> None:
    status, body, expected, error = ANSWERS[name]
    with Upstream() as upstream:
        upstream.answers(body, status, retry_after="7")
        response = ask(serve(FRAMEWORKS[framework](f"{upstream.url}/v1")), stream=stream)

    assert (response.status_code, error_of(response)) == (expected, error)
    assert expected != 429 or response.headers["retry-after"] == "7"


@each_framework
def test_an_upstream_that_fails_in_mid_stream_ends_the_stream_with_an_error(serve: Serve, framework: str) -> None:
    with live(yielding("It ", CompletionError(SECRET))) as upstream:
        *chunks, last = chunks_of(ask(serve(FRAMEWORKS[framework](str(upstream.base_url))), stream=True))

    assert chunks[1]["choices"][0]["delta"] == {"content": "It "}
    assert last["error"] == FAILED


@each_mode
def test_a_tool_that_fails_for_good_is_a_fault_of_the_server(
    serve: Serve, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    with live(Script([calling("weather", '{"city": "Atlantis"}', "call_a")])) as upstream:
        response = ask(serve(FRAMEWORKS["pydantic_ai"](str(upstream.base_url))), stream=stream)

    error = chunks_of(response)[-1]["error"] if stream else error_of(response)
    assert error == UNEXPECTED
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == ["app.errors"]


@each_framework
@pytest.mark.parametrize("name", MALFORMED)
def test_what_an_agent_cannot_be_given_is_a_fault_of_the_request(serve: Serve, framework: str, name: str) -> None:
    message, param = MALFORMED[name]
    if framework == "langgraph" and name == "part":
        pytest.skip("any content is passed to its models")
    response = ask(serve(FRAMEWORKS[framework]("http://127.0.0.1:1/v1")), messages=[message])

    assert (response.status_code, error_of(response)["param"]) == (400, param)


@each_framework
def test_a_tool_of_the_client_cannot_have_the_name_of_a_tool_of_the_agent(serve: Serve, framework: str) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("mine", "weather")]
    response = ask(serve(FRAMEWORKS[framework]("http://127.0.0.1:1/v1")), tools=tools)

    reason = "the agent has a tool named 'weather' itself, so give it another name"
    message = f"This model cannot read tools[1]: {reason}."
    assert (response.status_code, error_of(response)) == (400, error_object(message, param="tools[1]"))


@each_mode
@each_framework
@pytest.mark.anyio
async def test_a_run_is_cancelled_when_its_client_leaves(framework: str, stream: bool) -> None:
    run = Run()

    async def endless(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        with noted(run):
            while True:
                run.items += 1
                yield "more "
                await asyncio.sleep(0.01)

    with live(endless) as upstream:
        async with running(FRAMEWORKS[framework](str(upstream.base_url))) as app:
            before = asyncio.all_tasks()
            async with AsgiClient(app, stream=stream) as client:
                await until_seen(lambda: b"more" in client.received if stream else run.items)
            await until_seen(lambda: "closed" in run.events)
            await until_seen(lambda: asyncio.all_tasks() <= before)
