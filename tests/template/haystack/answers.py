"""An answer as a client adds it up, from a whole completion or from a stream."""

from typing import Any

from httpx import Response
from msgspec import Struct, field

from schemas.chat import Json
from tests.conftest import Client, ask, chunks_of
from tests.template.chat.scripted import accumulated
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
    assert response.status_code == 200, response.text
    is_whole = response.headers["content-type"] == "application/json"
    completion: Json = response.json() if is_whole else accumulated(chunks_of(response))
    (message,) = (choice["message"] for choice in completion["choices"])
    called = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
    calls = [(call_id, function["name"], function["arguments"]) for call_id, function in called]
    content, reasoning = (message.get(name) or "" for name in ("content", "reasoning_content"))
    usage = completion["usage"] if is_whole else completion.get("usage") or usage_of(0, 0)
    return Answer(content, reasoning, calls, finish_reason_of(response), usage)


def events_of(response: Response) -> list[Json]:
    """Return the events of a stream."""
    return [chunk["event"] for chunk in chunks_of(response) if "event" in chunk]
