"""Example models: a tool call, reasoning, and events beside the text. Read them, then delete them."""

import json
from collections.abc import AsyncIterator
from typing import Any

from app.model import Body, ChatCompletion, Delta, Messages, last_text
from app.registry import Pipelines
from schemas.chat import Choice, FunctionCall, Message, ToolCall

models = Pipelines()


@models.model("tools", prompt="What is the weather in Paris?")
def tools(model: str, messages: Messages, body: Body) -> str | ChatCompletion:
    """Call the first tool of the request, and answer with what it returned."""
    if messages[-1]["role"] == "tool":
        return f"The tool says: {last_text(messages)}"
    functions = [tool["function"] for tool in body.get("tools") or [] if "function" in tool]
    if not functions:
        return "Give me a tool, and I will ask for it."
    properties = (functions[0].get("parameters") or {}).get("properties")
    arguments = dict.fromkeys(properties, last_text(messages)) if isinstance(properties, dict) else {}
    call = ToolCall(function=FunctionCall(name=functions[0]["name"], arguments=json.dumps(arguments)))
    return ChatCompletion(choices=[Choice(message=Message(tool_calls=[call]), finish_reason="tool_calls")])


@models.model("reasoning")
async def reasoning(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Delta]:
    """Stream reasoning, and then the number of characters of the last message."""
    question = last_text(messages)
    yield Delta(reasoning_content=f"The user wrote {len(question)} characters. ")
    yield Delta(reasoning_content="I shall tell them so.")
    yield f"You wrote {len(question)} characters."


class Progress:
    """A status event; any object with `to_event_dict()` is sent as an event."""

    def __init__(self, description: str, *, done: bool) -> None:
        self.description = description
        self.done = done

    def to_event_dict(self) -> dict[str, Any]:
        """Return the event in the form that Open WebUI shows."""
        return {"type": "status", "data": {"description": self.description, "done": self.done}}


@models.model("events")
async def events(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Progress]:
    """Turn the last message around, and send status events beside it."""
    yield Progress("Reading your message", done=False)
    answer = last_text(messages)[::-1]
    yield Progress("Turned it around", done=True)
    yield answer
