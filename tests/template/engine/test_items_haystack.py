"""Haystack's own classes, and objects that merely look like them, as results and as items."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from haystack.dataclasses import ChatMessage, ReasoningContent, StreamingChunk, ToolCall, ToolCallDelta

from schemas.chat import Json
from tests.conftest import Serve, ask, chunks_of, returning, yielding
from tests.template.conftest import completion, deltas_of, finish_reason_of, stream

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
WIRE_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}


@dataclass
class LooksLikeChunk:
    """The attributes of a `StreamingChunk`, without its rule that only one of them be set."""

    content: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    index: int | None = None
    tool_calls: list[Any] | None = None
    finish_reason: str | None = None
    reasoning: Any = None


@dataclass
class LooksLikeMessage:
    """The attributes of a `ChatMessage` that an answer is made of."""

    text: str | None = None
    tool_calls: list[Any] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    reasoning: Any = None


def looks_like_message(text: str | None = None, **parts: Any) -> LooksLikeMessage:
    return LooksLikeMessage(text=text, **parts)


CHUNKS = pytest.mark.parametrize("chunk_of", [StreamingChunk, LooksLikeChunk])
MESSAGES = pytest.mark.parametrize("message", [ChatMessage.from_assistant, looks_like_message])


@CHUNKS
def test_content_of_a_chunk_is_a_content_delta(serve: Serve, chunk_of: Any) -> None:
    client = serve(yielding(chunk_of(content="Hel"), chunk_of(content="lo!")))

    assert chunks_of(ask(client, stream=True)) == stream({"content": "Hel"}, {"content": "lo!"})
    assert ask(client).json() == completion("Hello!")


@CHUNKS
def test_reasoning_of_a_chunk_is_a_reasoning_delta(serve: Serve, chunk_of: Any) -> None:
    client = serve(yielding(chunk_of(content="", index=0, reasoning=ReasoningContent("Hm.")), chunk_of(content="Yes")))

    assert deltas_of(ask(client, stream=True)) == [{"reasoning_content": "Hm."}, {"content": "Yes"}]
    assert ask(client).json() == completion("Yes", reasoning_content="Hm.")


@CHUNKS
@pytest.mark.parametrize("call_delta", [ToolCallDelta, SimpleNamespace])
def test_tool_calls_of_chunks_are_deltas_that_name_a_call_once(serve: Serve, chunk_of: Any, call_delta: Any) -> None:
    calls = [
        call_delta(index=0, id="call_1", tool_name="weather", arguments=""),
        call_delta(index=0, id=None, tool_name=None, arguments='{"city":'),
        call_delta(index=0, id=None, tool_name=None, arguments='"Paris"}'),
    ]
    client = serve(yielding(*(chunk_of(content="", index=0, tool_calls=[call]) for call in calls)))

    assert [delta["tool_calls"] for delta in deltas_of(ask(client, stream=True))] == [
        [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}],
        [{"index": 0, "function": {"arguments": '{"city":'}}],
        [{"index": 0, "function": {"arguments": '"Paris"}'}}],
    ]
    assert ask(client).json() == completion(None, finish_reason="tool_calls", tool_calls=[WIRE_CALL])


@CHUNKS
@pytest.mark.parametrize(
    ("given", "sent"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("tool_call_results", "stop")],
)
def test_a_finish_reason_of_haystack_is_mapped_to_one_of_openai(
    serve: Serve, chunk_of: Any, given: str, sent: str
) -> None:
    client = serve(yielding("Hello!", chunk_of(content="", finish_reason=given)))

    assert finish_reason_of(ask(client, stream=True)) == sent
    assert finish_reason_of(ask(client)) == sent


@CHUNKS
def test_usage_in_the_meta_of_a_chunk_is_reported(serve: Serve, chunk_of: Any) -> None:
    client = serve(yielding("Hello!", chunk_of(content="", meta={"usage": USAGE, "finish_reason": "length"})))

    response = ask(client, stream=True, stream_options={"include_usage": True})

    assert chunks_of(response)[-1]["usage"] == USAGE
    assert finish_reason_of(response) == "length"
    assert ask(client).json() == {**completion("Hello!", finish_reason="length"), "usage": USAGE}


@MESSAGES
def test_text_of_a_message_is_the_answer(serve: Serve, message: Any) -> None:
    client = serve(returning(message("Hello!")))

    assert ask(client).json() == completion("Hello!")
    assert chunks_of(ask(client, stream=True)) == stream({"content": "Hello!"})


@MESSAGES
@pytest.mark.parametrize("service", [returning, yielding])
def test_a_message_carries_all_its_parts_and_its_meta(serve: Serve, message: Any, service: Any) -> None:
    call = ToolCall("weather", {"city": "Paris"}, id="call_1")
    meta = {"finish_reason": "tool_calls", "usage": USAGE, "model": "upstream", "index": 0}
    client = serve(service(message("Hello!", tool_calls=[call], reasoning=ReasoningContent("Hm."), meta=meta)))

    expected = completion("Hello!", finish_reason="tool_calls", reasoning_content="Hm.", tool_calls=[WIRE_CALL])
    assert ask(client).json() == {**expected, "usage": USAGE}
    streamed = chunks_of(ask(client, stream=True, stream_options={"include_usage": True}))
    parts: list[Json] = [
        {"reasoning_content": "Hm."},
        {"content": "Hello!"},
        {"tool_calls": [{"index": 0, **WIRE_CALL}]},
    ]
    assert streamed[:-1] == [{**each, "usage": None} for each in stream(*parts, finish_reason="tool_calls")]
    assert (streamed[-1]["choices"], streamed[-1]["usage"]) == ([], USAGE)


@MESSAGES
def test_tool_calls_of_a_message_that_have_no_id_get_one_each(serve: Serve, message: Any) -> None:
    calls = [ToolCall("weather", {"city": city}) for city in ("Paris", "Rome")]
    client = serve(returning(message(tool_calls=calls)))

    whole = ask(client).json()["choices"][0]["message"]
    assert whole["content"] is None
    assert len({call["id"] for call in whole["tool_calls"]}) == 2
    assert all(call["id"].startswith("call_") and "index" not in call for call in whole["tool_calls"])
    streamed = [call for delta in deltas_of(ask(client, stream=True)) for call in delta["tool_calls"]]
    assert [call["index"] for call in streamed] == [0, 1]
    assert len({call["id"] for call in streamed}) == 2


@pytest.mark.parametrize("meta", [None, {}, {"usage": {}}, {"usage": None, "finish_reason": None}])
def test_a_message_without_meta_is_finished_and_reports_no_usage(serve: Serve, meta: Any) -> None:
    client = serve(returning(LooksLikeMessage("Hello!", meta=meta)))

    assert ask(client).json() == completion("Hello!")
    streamed = chunks_of(ask(client, stream=True, stream_options={"include_usage": True}))
    assert streamed == [{**each, "usage": None} for each in stream({"content": "Hello!"})]
