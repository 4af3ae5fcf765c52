"""An answer as a client adds it up, whole or streamed."""

from typing import Any

from httpx import Response
from msgspec import Struct
from openai.types.chat import ChatCompletionChunk

from schemas.chat import Json
from tests.conftest import chunks_of, message_of
from tests.template.conftest import finish_reason_of

__all__ = ["Answer", "answer_of", "events_of"]


class Answer(Struct, frozen=True):
    """What a client has at the end."""

    content: str
    reasoning: str
    calls: list[tuple[str, str, str]]
    finish_reason: str | None
    usage: Json | None


def answer_of(response: Response) -> Answer:
    """The answer that a response holds."""
    if response.headers["content-type"] == "application/json":
        return _answer(response, message_of(response), response.json().get("usage"))
    chunks = chunks_of(response)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    texts = {name: "".join(delta.get(name) or "" for delta in deltas) for name in ("content", "reasoning_content")}
    usage = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    return _answer(response, {**texts, "tool_calls": _calls(deltas)}, usage[0] if usage else None)


def events_of(response: Response) -> list[Json]:
    """The events of a stream; each of its frames is a chunk of OpenAI's."""
    for chunk in (chunks := chunks_of(response)):
        ChatCompletionChunk.model_validate(chunk)
    return [chunk["event"] for chunk in chunks if "event" in chunk]


def _answer(response: Response, message: Json, usage: Json | None) -> Answer:
    calls = [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    return Answer(
        message["content"] or "", message.get("reasoning_content") or "", calls, finish_reason_of(response), usage
    )


def _calls(deltas: list[Json]) -> list[Json]:
    """The calls that deltas add up to: an id and a name in the first delta of each alone."""
    calls: list[Json] = []
    for delta in [call for each in deltas for call in each.get("tool_calls") or ()]:
        function: dict[str, Any] = delta["function"]
        if delta["index"] == len(calls):
            calls.append({"id": delta["id"], "function": {"name": function["name"], "arguments": ""}})
        else:
            assert not {"id", "type"} & delta.keys()
            assert "name" not in function
        calls[delta["index"]]["function"]["arguments"] += function["arguments"]
    return calls
