"""OpenAI's Agents SDK, over HTTP or a WebSocket."""

import asyncio
from typing import Any

import agents
from openai import AsyncOpenAI

from tests.template.clients.report import TRANSPORT, URL, get_weather, report

agents.set_tracing_disabled(True)  # traces would be sent to OpenAI
MODEL: Any = agents.OpenAIResponsesWSModel if TRANSPORT == "websocket" else agents.OpenAIResponsesModel
TOOLS: list[Any] = [agents.function_tool(get_weather), agents.WebSearchTool()]


async def run(name: str, stream: bool) -> dict[str, object]:
    async with AsyncOpenAI(base_url=URL, api_key="none", max_retries=0) as client:
        model = MODEL(name, client)
        agent = agents.Agent(name="A", model=model, tools=TOOLS)
        if stream:
            result: Any = agents.Runner.run_streamed(agent, "Hello!", auto_previous_response_id=True)
            async for _ in result.stream_events():
                pass
        else:
            result = await agents.Runner.run(agent, "Hello!")
        await model.close()
    items = [item.raw_item for item in result.new_items if item.type != "tool_call_output_item"]
    thoughts = [part.text for item in items if item.type == "reasoning" for part in item.content]
    notes = [note for item in items if item.type == "message" for note in item.content[0].annotations]
    return {"text": result.final_output, "thought": "".join(thoughts), "sources": [note.title for note in notes]}


report(lambda model, stream: asyncio.run(run(model, stream)))
