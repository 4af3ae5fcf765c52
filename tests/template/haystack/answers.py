"""An answer as a client adds it up, from a whole completion or from a stream."""

from typing import Any

from httpx import Response
from msgspec import Struct, field
from openai.types.chat import ChatCompletionChunk

from schemas.chat import Json
from tests.conftest import Client, ask, chunks_of, message_of
from tests.template.conftest import finish_reason_of


def usage_of(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


class Answer(Struct, frozen=True):
    content: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str, str]] = []  # id, name and arguments
    finish_reason: str | None = "stop"
    usage: Json = field(default_factory=lambda: usage_of(0, 0))


def answer_from(client: Client, content: object = "Hello!", *, stream: bool, **fields: Any) -> Answer:
    """Ask the model `test`, for its usage too, and return its answer."""
    options = {"stream_options": {"include_usage": True}} if stream else {}
    return answer_of(ask(client, content, stream=stream, **options, **fields))


def answer_of(response: Response) -> Answer:
    if response.headers["content-type"] == "application/json":
        message, usage = message_of(response), response.json()["usage"]
    else:
        chunks = chunks_of(response)
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        texts = ("content", "reasoning_content")
        message = {name: "".join(delta.get(name) or "" for delta in deltas) for name in texts}
        message["tool_calls"] = _calls(deltas)
        usage = chunks[-1].get("usage") or usage_of(0, 0)
    calls = [(call["id"], *call["function"].values()) for call in message.get("tool_calls") or ()]
    return Answer(
        message["content"] or "", message.get("reasoning_content") or "", calls, finish_reason_of(response), usage
    )


def events_of(response: Response) -> list[Json]:
    """Return the events of a stream; each of its frames is a chunk of OpenAI's."""
    for chunk in (chunks := chunks_of(response)):
        ChatCompletionChunk.model_validate(chunk)
    return [chunk["event"] for chunk in chunks if "event" in chunk]


def _calls(deltas: list[Json]) -> list[Json]:
    """Return the calls that deltas add up to; only the first delta of each has an id and a name."""
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
