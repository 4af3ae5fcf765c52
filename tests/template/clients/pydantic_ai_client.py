"""pydantic-ai, over HTTP or a WebSocket."""

import asyncio
from typing import Any

from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.template.clients.report import URL, get_weather, report_by_transport

SETTINGS = {"openai_reasoning_summary": "auto", "openai_include_raw_annotations": True}


async def run(transport: str, name: str, stream: bool) -> dict[str, object]:
    settings: Any = SETTINGS | {"openai_transport": transport}
    async with AsyncOpenAI(base_url=URL, api_key="none", max_retries=0) as client:
        model = OpenAIResponsesModel(name, provider=OpenAIProvider(openai_client=client), settings=settings)
        agent = Agent(model, tools=[get_weather])
        if stream:
            async with agent.run_stream("Hello!") as streamed:
                await streamed.get_output()
            response: Any = streamed.all_messages()[-1]
        else:
            response = (await agent.run("Hello!")).response
    notes = [note for part in response.parts for note in (part.provider_details or {}).get("annotations", ())]
    return {"text": response.text, "thought": response.thinking or "", "sources": [note["title"] for note in notes]}


report_by_transport(lambda *asked: asyncio.run(run(*asked)))
