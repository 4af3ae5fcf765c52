"""OpenAI's Agents SDK, over HTTP or a WebSocket."""

import asyncio
from typing import Any

import agents
from openai import AsyncOpenAI

from tests.template.clients.report import URL, get_weather, report_by_transport

agents.set_tracing_disabled(True)  # traces would be sent to OpenAI
MODELS: dict[str, Any] = {"http": agents.OpenAIResponsesModel, "websocket": agents.OpenAIResponsesWSModel}
TOOLS: list[Any] = [agents.function_tool(get_weather), agents.WebSearchTool()]


async def run(transport: str, name: str, stream: bool) -> dict[str, object]:
    async with AsyncOpenAI(base_url=URL, api_key="none", max_retries=0) as client:
        model = MODELS[transport](name, client)
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


report_by_transport(lambda *asked: asyncio.run(run(*asked)))
