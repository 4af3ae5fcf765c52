"""Events sent beside the text: the tools that an agent calls, and the documents that an answer is based on.

They have the form that Open WebUI shows; `tool_call` and `tool_result` carry the details for other clients.
"""

from collections.abc import Iterator
from dataclasses import replace

from haystack import Document
from haystack.dataclasses import StreamingChunk, ToolCallResult
from msgspec import Struct

from app.engine.results import Item
from schemas.chat import Json

BETWEEN_STEPS = "\n\n"  # separates the texts that an agent writes before and after a tool call


class Event(Struct, frozen=True):
    """An event of Open WebUI."""

    type: str
    data: Json

    def to_event_dict(self) -> Json:
        """Return the event as it is sent."""
        return {"type": self.type, "data": self.data}


class AgentStream:
    """Turns the chunks of an agent into items.

    An agent calls its tools in this server, so the client is sent events instead of tool calls to answer.
    """

    def __init__(self) -> None:
        self._calls: dict[int, Json] = {}
        self._has_text = False
        self._separator = ""

    def items(self, chunk: StreamingChunk) -> Iterator[Item]:
        """Yield the items for the next chunk."""
        if chunk.reasoning:
            yield replace(chunk, finish_reason=None, meta={})
        if chunk.content:
            yield replace(chunk, content=self._separator + chunk.content, finish_reason=None, meta={})
            self._has_text, self._separator = True, ""
        for delta in chunk.tool_calls or ():
            call = self._calls.setdefault(delta.index, {"id": None, "name": "", "arguments": ""})
            call["id"] = call["id"] or delta.id
            call["name"] = call["name"] or delta.tool_name or ""
            call["arguments"] += delta.arguments or ""
        if chunk.tool_call_result:
            yield _result_event(chunk.tool_call_result)
        if chunk.finish_reason:
            yield from map(_call_event, self._calls.values())
            self._calls = {}
            self._separator = BETWEEN_STEPS if self._has_text else ""


def citation(document: Document) -> Event:
    """Return the event that shows a document as a source of the answer."""
    name = document.meta.get("name") or document.meta.get("file_path") or document.id
    metadata = {"source": name, **({} if document.score is None else {"score": document.score})}
    return Event("citation", {"document": [document.content or ""], "metadata": [metadata], "source": {"name": name}})


def _call_event(call: Json) -> Event:
    return Event("status", {"description": f"Calling {call['name']}", "done": False, "tool_call": call})


def _result_event(result: ToolCallResult) -> Event:
    name = result.origin.tool_name
    text = result.result if isinstance(result.result, str) else ""
    tool_result = {"id": result.origin.id, "name": name, "result": text, "error": result.error}
    description = f"{name} failed" if result.error else f"Called {name}"
    return Event("status", {"description": description, "done": True, "tool_result": tool_result})
