"""Events sent beside the text: the tools that an agent calls, and the documents that an answer is based on.

They have the form that Open WebUI shows; `tool_call` and `tool_result` carry the details for other clients.
"""

import json
from contextvars import ContextVar
from itertools import takewhile
from textwrap import shorten
from typing import Any, TypeAlias

from haystack import Document
from haystack.components.agents import Agent, State
from haystack.dataclasses import ReasoningContent, ToolCall, ToolCallResult
from haystack.hooks import hook

from app.engine.results import Item
from app.haystack.replies import result_text
from schemas.chat import Delta, Json

MAX_NAME = 80  # characters of a document that are its name if it has no other

RunEvent: TypeAlias = ToolCall | ToolCallResult | ReasoningContent | dict[str, Any]  # a dict is the outputs at the end

streaming_run: ContextVar[Any] = ContextVar("streaming_run", default=None)  # a StreamingRun


def report_progress(progress: str | Json) -> None:
    """Show the client what a tool or a component is doing, from within it: a line, or another event of Open WebUI."""
    if (run := streaming_run.get()) is not None:
        run.put(item_of(progress))


def show(event: RunEvent) -> Item | None:
    """Return what is sent for an event, unless the author of a model says something else."""
    match event:
        case ToolCall(tool_name=name, arguments=arguments, id=call_id):
            call = {"id": call_id, "name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
            return _status(f"Calling {name}", done=False, tool_call=call)
        case ToolCallResult(origin=origin, error=error):
            result = {"id": origin.id, "name": origin.tool_name, "result": result_text(event), "error": error}
            description = f"{origin.tool_name} failed" if error else f"Called {origin.tool_name}"
            return _status(description, done=True, tool_result=result)
        case ReasoningContent(reasoning_text=text):
            return Delta(reasoning_content=text)
        case _:
            return None


def item_of(shown: Item) -> Item:
    """Return the item for a line above the answer, an event such as `{"type": "status", "data": {…}}`, or an item."""
    if isinstance(shown, str):
        return _status(shown, done=False)
    return {"choices": [], "event": shown} if isinstance(shown, dict) and "choices" not in shown else shown


def watch(agent: Agent) -> None:
    """Have an agent report the tool calls that it makes, after a person has approved them, and their results."""
    hooks: dict[Any, Any] = agent.hooks
    for point, report in (("before_tool", _report_calls), ("after_tool", _report_results)):
        if report not in hooks.setdefault(point, []):
            hooks[point].append(report)


@hook
def _report_calls(state: State) -> None:
    if (run := streaming_run.get()) is not None:
        for call in state.data["messages"][-1].tool_calls:
            run.tell(call)


@hook
def _report_results(state: State) -> None:
    if (run := streaming_run.get()) is not None:
        ended = takewhile(lambda message: message.tool_call_result, reversed(state.data["messages"]))
        for message in reversed([*ended]):
            run.tell(message.tool_call_result)


def citation(document: Document) -> Json:
    """Return the event that shows a document as a source of the answer; Open WebUI links to what has an address."""
    text = document.content or ""
    beginning = shorten(text, MAX_NAME, placeholder=" …")
    name = _first_of(document, "name", "title", "file_path", "url", "link") or beginning
    source = _first_of(document, "url", "link") or name or document.id
    metadata = {"source": source} if document.score is None else {"source": source, "score": document.score}
    return _event(
        "citation", document=[text], metadata=[metadata], source={"name": name or f"Document {document.id[:8]}"}
    )


def _first_of(document: Document, *fields: str) -> str:
    return next((str(document.meta[field]) for field in fields if document.meta.get(field)), "")


def _status(description: str, *, done: bool, **details: Json) -> Json:
    return _event("status", description=description, done=done, **details)


def _event(kind: str, **data: object) -> Json:
    return {"choices": [], "event": {"type": kind, "data": data}}
