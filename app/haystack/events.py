"""Events sent beside the text: the tools that an agent calls, and the documents that an answer is based on.

They have the form that Open WebUI shows; `tool_call` and `tool_result` carry the details for other clients.
"""

from collections.abc import Iterator
from dataclasses import replace
from textwrap import shorten

from haystack import Document
from haystack.dataclasses import StreamingChunk, ToolCallResult

from app.engine.results import Item
from schemas.chat import Json

MAX_NAME = 80  # characters of a document that are its name if it has no other
BETWEEN_STEPS = "\n\n"  # separates the texts that an agent writes before and after a tool call


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
            yield _tool_result(chunk.tool_call_result)
        if chunk.finish_reason:
            for call in self._calls.values():
                yield _status(f"Calling {call['name']}", done=False, tool_call=call)
            self._calls = {}
            self._separator = BETWEEN_STEPS if self._has_text else ""


def citation(document: Document) -> Json:
    """Return the event that shows a document as a source of the answer; Open WebUI links to what has an address."""
    name = _first_of(document, "name", "title", "file_path", "url", "link") or shorten(
        document.content or "", MAX_NAME, placeholder=" …"
    )
    source = _first_of(document, "url", "link") or name or document.id
    metadata = {"source": source, **({} if document.score is None else {"score": document.score})}
    return _event("citation", document=[document.content or ""], metadata=[metadata], source={"name": name or source})


def _first_of(document: Document, *fields: str) -> str:
    return next((str(document.meta[field]) for field in fields if document.meta.get(field)), "")


def _tool_result(result: ToolCallResult) -> Json:
    name = result.origin.tool_name
    text = result.result if isinstance(result.result, str) else ""
    tool_result = {"id": result.origin.id, "name": name, "result": text, "error": result.error}
    return _status(f"{name} failed" if result.error else f"Called {name}", done=True, tool_result=tool_result)


def _status(description: str, *, done: bool, **details: Json) -> Json:
    return _event("status", description=description, done=done, **details)


def _event(kind: str, **data: object) -> Json:
    return {"choices": [], "event": {"type": kind, "data": data}}
