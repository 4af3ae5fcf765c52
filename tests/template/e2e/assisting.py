"""A model that does all that the playground shows."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

from app.registry import Pipelines
from app.services import Body, Messages
from schemas.chat import Delta, Usage

__all__ = ["SOURCES", "THOUGHT", "add_assisting_models"]

ANSWER = """Yield it. A **generator** is a model, and each text that it yields is on the way at once:

```python
@pipelines.model("shout")
async def shout(model, messages, body):
    for word in messages[-1]["content"].split():
        yield word.upper() + " "
```

When the reader leaves, the generator is closed: put what must happen then into a `finally`.
"""
THOUGHT = "They ask how to stream. A short example says it best."
SOURCES = {
    "README.md: What a model may return": "A sync or async iterator.",
    "README.md: Hooks": "A client that leaves.",
}


def add_assisting_models(pipelines: Pipelines) -> None:
    """Register the model of this file."""
    pipelines.add("assistant", assistant)


class Event:
    """An event of Open WebUI's."""

    def __init__(self, kind: str, **data: Any) -> None:
        self._event = {"type": kind, "data": data}

    def to_event_dict(self) -> dict[str, Any]:
        return self._event


async def assistant(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Delta | Event | Usage]:
    """Events, thoughts, text with code, sources and usage."""
    call = {"id": "call_1", "name": "search", "arguments": '{"query": "stream"}'}
    yield Event("status", description="Searching the handbook", done=False, tool_call=call)
    yield Event("status", description="Read 2 passages", done=True)
    for word in THOUGHT.split(" "):
        yield Delta(reasoning_content=f"{word} ")
    for word in re.findall(r"\S+\s*", ANSWER):
        await asyncio.sleep(len(word) / 400)  # at about the pace of a language model, for the plot's sake
        yield word
    for name, text in SOURCES.items():
        yield Event("citation", document=[text], metadata=[{"source": name}], source={"name": name})
    yield Usage(prompt_tokens=11, completion_tokens=58)
