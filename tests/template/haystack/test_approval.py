"""The recipe of `docs/haystack.md` by which a client approves of the calls of an agent."""

import asyncio
import re
from typing import Any

import pytest
from haystack.tools.tool import Tool

from app.registry import Pipelines
from schemas.chat import Json
from tests.conftest import ROOT, Client, Serve, ask
from tests.template.haystack.answers import Answer, answer_of
from tests.template.haystack.generators import each_mode

CALL = ("call_1", "delete", '{"path":"a.txt"}')
QUESTION: Json = {"role": "user", "content": "Delete a.txt"}
FUNCTION = {"name": "delete", "arguments": '{"path":"a.txt"}'}
ASKED: Json = {
    "role": "assistant",
    "content": "May I?",
    "tool_calls": [{"id": "call_1", "type": "function", "function": FUNCTION}],
}


def answered(text: str) -> list[Json]:
    """Return the conversation in which the user has answered."""
    return [QUESTION, ASKED, {"role": "tool", "tool_call_id": "call_1", "content": text}]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> Client:
    registry = Pipelines()
    monkeypatch.setattr("app.pipelines.pipelines", registry)
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/haystack.md").read_text(), re.MULTILINE | re.DOTALL)
    exec(next(block for block in blocks if '"careful"' in block), {})  # noqa: S102 - the recipe
    return serve(registry)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The arguments with which a tool was called."""
    calls: list[Any] = []
    invoke = Tool.invoke

    def note(self: Tool, **arguments: Any) -> Any:
        with pytest.raises(RuntimeError):  # it must not hold the event loop
            asyncio.get_running_loop()
        calls.append(arguments)
        return invoke(self, **arguments)

    monkeypatch.setattr(Tool, "invoke", note)
    return calls


def answer(client: Client, *messages: Json, stream: bool) -> Answer:
    return answer_of(ask(client, messages=list(messages), model="careful", stream=stream))


@each_mode
def test_the_call_goes_to_the_client_and_the_run_goes_on_with_its_answer(
    client: Client, called: list[Any], stream: bool
) -> None:
    first = answer(client, QUESTION, stream=stream)
    assert (first.content, first.calls, first.finish_reason, called) == ("May I?", [CALL], "tool_calls", [])

    approved = answer(client, *answered("approved"), stream=stream)
    assert (approved.content, approved.calls, approved.finish_reason) == ("a.txt is deleted.", [], "stop")
    assert called == [{"path": "a.txt"}]


@each_mode
def test_a_refusal_is_what_the_model_reads_and_an_approval_counts_once(
    client: Client, called: list[Any], stream: bool
) -> None:
    assert answer(client, *answered("Keep it."), stream=stream).content == "Keep it."
    again = answer(client, *answered("approved"), {"role": "assistant", "content": "Done."}, QUESTION, stream=stream)
    assert (again.content, again.calls, called) == ("May I?", [CALL], [])


def test_approved_calls_that_fail_are_results_that_the_model_reads(client: Client) -> None:
    wrong: Json = {
        **ASKED,
        "tool_calls": [{**ASKED["tool_calls"][0], "function": {"name": "delete", "arguments": "{}"}}],
    }
    conversation = [QUESTION, wrong, *answered("approved")[2:]]

    assert "delete" in answer(client, *conversation, stream=False).content
