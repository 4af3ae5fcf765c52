"""The application that most of these tests serve: models that answer, fail or wait at a gate, and the journal."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

from litestar import Litestar

from app.app import create_app as create_project_app
from app.model import Body, CompletionError, Delta, Messages, ModelFunction, Usage, is_cancelled
from app.registry import Pipelines
from schemas.chat import FunctionCallDelta, Json, ToolCallDelta
from tests.template.e2e.journal import JournalController, noted, run_of

SECRET = "postgres://admin:hunter2@db.internal"  # noqa: S105 - a text that no client may read
FLOOD, ITEM = 4000, "x" * 16384  # 64 MB, far more than all buffers between the server and a client hold
KEPT: list[object] = []
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


def create_app() -> Litestar:
    """Compose the application that `litestar --app tests.template.e2e.serving:create_app run` serves."""
    pipelines = Pipelines()
    for model in MODELS:
        pipelines.add(model.__name__.replace("_", "-"), model)
    for name, faithful in FAITHFUL.items():
        pipelines.add(f"faithful-{name}", faithful, outlives_client=True)
    app = create_project_app(pipelines=pipelines)
    app.register(JournalController)
    return app


def function(model: str, messages: Messages, body: Body) -> str:
    return "Hello, world"


def generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield from ("Hello", ", world")


async def async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    yield "Hello"
    await asyncio.sleep(0)
    yield ", world"


def echo_function(model: str, messages: Messages, body: Body) -> str:
    return str(messages[-1].get("content"))


def echo_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """Yield the prompt word by word."""
    for word in echo_function(model, messages, body).split():
        time.sleep(0)  # lets other threads run
        yield f"{word} "


async def echo_async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    for word in echo_function(model, messages, body).split():
        await asyncio.sleep(0)
        yield f"{word} "


async def burst(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    for number in range(100):
        yield f"{number} "


async def brief(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    """Yield a few items, which takes about a second."""
    for number in range(50):
        yield f"{number} "
        await asyncio.sleep(0.02)


async def two_calls(model: str, messages: Messages, body: Body) -> AsyncIterator[Delta]:
    """Yield two tool calls whose arguments interleave."""
    for index, (call_id, name) in enumerate((("call_a", "first"), ("call_b", "second"))):
        function = FunctionCallDelta(name=name, arguments="")
        yield Delta(tool_calls=[ToolCallDelta(index=index, id=call_id, type="function", function=function)])
    for part in ('{"x":', " 1}"):
        for index in (0, 1):
            yield Delta(tool_calls=[ToolCallDelta(index=index, function=FunctionCallDelta(arguments=part))])


async def assistant(model: str, messages: Messages, body: Body) -> AsyncIterator[object]:
    """Yield all that the playground shows: events, thoughts, text with code, sources and usage."""
    call = {"id": "call_1", "name": "search", "arguments": '{"query": "stream"}'}
    yield event("status", description="Searching the handbook", done=False, tool_call=call)
    result = {"id": "call_1", "name": "search", "result": "2 passages", "error": False}
    yield event("status", description="Searched the handbook", done=True, tool_result=result)
    yield event("status", description="Reading 2 passages", done=False)
    for word in THOUGHT.split(" "):
        yield Delta(reasoning_content=f"{word} ")
    for word in re.findall(r"\S+\s*", ANSWER):
        await asyncio.sleep(len(word) / 400)  # at about the pace of a language model, for the plot's sake
        yield word
    for name, text in SOURCES.items():
        yield event("citation", document=[text], metadata=[{"source": name}], source={"name": name})
    yield Usage(prompt_tokens=11, completion_tokens=58)


def looking_up(model: str, messages: Messages, body: Body) -> Iterator[object]:
    """Yield texts, thoughts and calls of tools in turn; an event comes within code."""
    call = {"id": "call_1", "name": "look", "arguments": "{}"}
    yield "Let me look."
    yield event("status", description="Looking", done=False, tool_call=call)
    yield Delta(reasoning_content="It may rain.")
    yield event(
        "status", description="Looked", done=True, tool_result={"id": "call_1", "name": "look", "result": "Rain"}
    )
    yield "\n\nIt **rains**:\n```\na\n"
    yield event("status", description="Halfway", done=False)
    yield from ("b\n```\n", "Bye.")
    function = FunctionCallDelta(name="take", arguments="{}")
    yield Delta(tool_calls=[ToolCallDelta(index=0, id="call_2", type="function", function=function)])
    yield "\n\nDry?"


def own_items(model: str, messages: Messages, body: Body) -> Json:
    """Return a response with items that only the Responses API has, which is cut off."""
    link = {"type": "url_citation", "url": "https://example.com/", "title": "A page", "start_index": 0, "end_index": 1}
    output: list[Json] = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": text} for text in ("One.", "Two.")]},
        {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "weather"}},
        {"type": "message", "content": [{"type": "output_text", "text": "Rain.", "annotations": [link]}]},
        {"type": "message", "content": [{"type": "refusal", "refusal": "No more."}]},
        {"type": "custom_tool_call", "call_id": "call_1", "name": "shell", "input": "ls -l"},
    ]
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    return {"object": "response", "output": output, "usage": usage, **cut}


def event(kind: str, **data: Any) -> object:
    """Return an event of Open WebUI's."""
    return SimpleNamespace(to_event_dict=lambda: {"type": kind, "data": data})


def refuse_after(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield from ("one", " two")
    raise CompletionError("The index is being rebuilt.", code="rebuilding")


async def crash(model: str, messages: Messages, body: Body) -> str:
    raise RuntimeError(f"Cannot connect to {SECRET}") from OSError(SECRET)


def crash_before(model: str, messages: Messages, body: Body) -> Iterator[str]:
    if messages:
        raise RuntimeError(SECRET)
    yield "never"


def crash_after_sync(model: str, messages: Messages, body: Body) -> Iterator[str]:
    yield from ("one", " two")
    raise ValueError(SECRET)


async def crash_after(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    for item in crash_after_sync(model, messages, body):
        yield item


async def late_failure(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    await run_of(messages).wait()
    if messages:
        raise RuntimeError("It failed late")
    yield "never"


async def gated_async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    with noted(run_of(messages)) as run:
        try:
            yield "first"
            await run.wait()
            yield " second"
        finally:
            await asyncio.sleep(0)  # cleaning up may await


async def gated_thinker(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Delta]:
    """Think until the gate is opened."""
    yield Delta(reasoning_content="Let me see.")
    await run_of(messages).wait()
    yield "Done."


def gated_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    with noted(run_of(messages)) as run:
        yield "first"
        run.events.append("blocked")
        run.gate.wait()
        yield " second"


async def late_async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    with noted(run_of(messages)) as run:
        await run.wait()
        yield "first"


def late_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    with noted(run_of(messages)) as run:
        run.gate.wait()
        yield "first"


async def gated_async_function(model: str, messages: Messages, body: Body) -> str:
    with noted(run_of(messages)) as run:
        while not run.gate.is_set():
            run.items += 1
            await asyncio.sleep(0.01)
    return "first second"


def blocking_function(model: str, messages: Messages, body: Body) -> str:
    """Block a thread until the completion is stopped."""
    with noted(run_of(messages)):
        while not is_cancelled():
            time.sleep(0.01)
    return "nobody reads this"


async def stubborn_function(model: str, messages: Messages, body: Body) -> str:
    """Ignore every cancellation until the gate is opened."""
    with noted(run_of(messages)) as run:
        while not run.gate.is_set():
            try:
                await run.wait()
            except asyncio.CancelledError:
                run.events.append("cancelled")
    return "nobody reads this"


async def endless_async_generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    with noted(run_of(messages)) as run:
        while not run.gate.is_set():
            run.items += 1
            yield "more "
            await asyncio.sleep(0.01)


def endless_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    with noted(run_of(messages)) as run:
        while not run.gate.is_set():
            run.items += 1
            yield "more "
            time.sleep(0.01)


async def hog(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    """Yield item after item, and never await."""
    with noted(run_of(messages)) as run:
        while not run.gate.is_set():
            run.items += 1
            yield "more "


def held_generator(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """Return a generator that is never garbage, as a reference to it is kept."""
    KEPT.append(generator := endless_generator(model, messages, body))
    return generator


def flood(model: str, messages: Messages, body: Body) -> Iterator[str]:
    """Yield more than a client that does not read can take."""
    run = run_of(messages)
    try:
        for run.items in range(1, FLOOD + 1):
            yield ITEM
    finally:
        run.events.append("closed")


async def async_flood(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
    for item in flood(model, messages, body):
        yield item


MODELS: tuple[Any, ...] = (
    *(function, generator, async_generator, echo_function, echo_generator, echo_async_generator, burst, brief),
    *(
        two_calls,
        assistant,
        looking_up,
        own_items,
        refuse_after,
        crash,
        crash_before,
        crash_after_sync,
        crash_after,
        late_failure,
    ),
    *(gated_async_generator, gated_generator, late_async_generator, late_generator, gated_async_function),
    *(blocking_function, stubborn_function, endless_async_generator, endless_generator, hog, held_generator),
    *(flood, async_flood, gated_thinker),
)
FAITHFUL: dict[str, ModelFunction] = {"async-generator": endless_async_generator, "generator": endless_generator}
FAITHFUL |= {"async-function": gated_async_function, "hog": hog}
