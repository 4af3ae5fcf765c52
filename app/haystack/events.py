"""What a client is told beside the text: the tools an agent uses, and the documents an answer rests on.

The shapes are Open WebUI's; `tool_call` and `tool_result` say the same to other clients.
"""

from collections.abc import Iterator
from typing import Any

from haystack import Document
from haystack.dataclasses import StreamingChunk, ToolCallDelta, ToolCallResult
from msgspec import Struct

from app.engine.results import Item
from schemas.chat import Delta

__all__ = ["AgentStream", "Event", "citation"]

BETWEEN_STEPS = "\n\n"  # an agent may say something before it calls a tool, and after


class Event(Struct, frozen=True):
    """An event of Open WebUI's."""

    type: str
    data: dict[str, Any]

    def to_event_dict(self) -> dict[str, Any]:
        """The event as it goes over the wire."""
        return {"type": self.type, "data": self.data}


class AgentStream:
    """Turns an agent's chunks into items.

    The tools that it calls are called in this server: a client gets events, not tool calls that it would answer.
    """

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, Any]] = {}
        self._spoke = self._next_step = False

    def items(self, chunk: StreamingChunk) -> Iterator[Item]:
        """The items of the next chunk."""
        if chunk.reasoning:
            yield Delta(reasoning_content=chunk.reasoning.reasoning_text)
        if chunk.content:
            yield BETWEEN_STEPS + chunk.content if self._spoke and self._next_step else chunk.content
            self._spoke, self._next_step = True, False
        for delta in chunk.tool_calls or ():
            self._add(delta)
        if chunk.tool_call_result:
            yield _called(chunk.tool_call_result)
        if chunk.finish_reason:
            yield from map(_calling, self._calls.values())
            self._calls, self._next_step = {}, True

    def _add(self, delta: ToolCallDelta) -> None:
        call = self._calls.setdefault(delta.index, {"id": None, "name": "", "arguments": ""})
        call["id"] = call["id"] or delta.id
        call["name"] = call["name"] or delta.tool_name or ""
        call["arguments"] += delta.arguments or ""


def citation(document: Document) -> Event:
    """The event that shows a document as a source of the answer."""
    name = document.meta.get("name") or document.meta.get("file_path") or document.id
    metadata = {"source": name, **({} if document.score is None else {"score": document.score})}
    return Event("citation", {"document": [document.content or ""], "metadata": [metadata], "source": {"name": name}})


def _calling(call: dict[str, Any]) -> Event:
    description = f"Calling {call['name']}"
    return Event("status", {"description": description, "done": False, "tool_call": call})


def _called(result: ToolCallResult) -> Event:
    name = result.origin.tool_name
    text = result.result if isinstance(result.result, str) else ""
    description = f"{name} failed" if result.error else f"Called {name}"
    tool_result = {"id": result.origin.id, "name": name, "result": text, "error": result.error}
    return Event("status", {"description": description, "done": True, "tool_result": tool_result})
