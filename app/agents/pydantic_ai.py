"""Agents of pydantic-ai as models.

Importing this imports pydantic-ai: import it in the factory of a model.
"""

from base64 import b64decode
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pydantic_core
from pydantic_ai import (
    Agent,
    AgentRunResult,
    AgentRunResultEvent,
    DeferredToolRequests,
    ExternalToolset,
    FunctionToolset,
    ToolDefinition,
)
from pydantic_ai import messages as ai
from pydantic_ai.capabilities import ReinjectSystemPrompt
from pydantic_ai.exceptions import UsageLimitExceeded
from pydantic_ai.ui import MessagesBuilder

from app.agents.errors import translated_errors
from app.agents.events import OUT_OF_STEPS, AgentStream, ending
from app.agents.request import (
    Options,
    no_options,
    numbered,
    offered_functions,
    parameters_of,
    parts_of,
    reading,
    text_of,
)
from app.model import Body, Delta, Item, Messages, ModelFunction
from schemas.chat import Json

__all__ = ["pydantic_ai_model"]

SAME = ("temperature", "top_p", "max_tokens", "seed", "presence_penalty", "frequency_penalty", "logit_bias")
SETTINGS = {name: name for name in (*SAME, "parallel_tool_calls", "service_tier")} | {
    "max_completion_tokens": "max_tokens",
    "stop": "stop_sequences",
}


def pydantic_ai_model(agent: Agent[Any, Any], *, options: Options = no_options) -> ModelFunction:
    """Return a model that runs an agent, whose tool calls the client sees as events.

    Args:
        agent: The agent, which all requests share. A result that is no text is sent as JSON.
        options: Returns further arguments of the agent's `run` for the body of a request, e.g. `deps`.
    """

    async def answer(model: str, messages: Messages, body: Body) -> AsyncIterator[Item]:
        offered = offered_functions(body, _own_tools(agent))
        stream = AgentStream(offered)
        arguments = (
            _conversation(messages) | _tools(agent, offered) | {"model_settings": _settings(body), **options(body)}
        )
        try:
            with translated_errors():
                async with agent.run_stream_events(**arguments) as events:
                    async for event in events:
                        for item in _items(event, stream):
                            yield item
        except UsageLimitExceeded:
            yield OUT_OF_STEPS

    return answer


def _items(event: Any, stream: AgentStream) -> Iterator[Item]:
    match event:
        case ai.PartStartEvent(part=ai.TextPart(content=text)) | ai.PartDeltaEvent(delta=ai.TextPartDelta(text)):
            yield stream.text(text)
        case (
            ai.PartStartEvent(part=ai.ThinkingPart(content=text))
            | ai.PartDeltaEvent(delta=ai.ThinkingPartDelta(content_delta=text))
        ):
            yield Delta(reasoning_content=text or "")
        case ai.FunctionToolCallEvent(part=call) if call.tool_name not in stream.offered:
            yield stream.calling(call.tool_call_id, call.tool_name, call.args_as_json_str())
        case ai.FunctionToolResultEvent(part=part):
            failed = part.outcome != "success"
            yield stream.called(part.tool_call_id, part.model_response_str(wrap_if_error=False), failed=failed)
        case AgentRunResultEvent(result=result):
            yield from _end(result, stream)


def _end(result: AgentRunResult[Any], stream: AgentStream) -> Iterator[Item]:
    match result.output:
        case DeferredToolRequests(approvals=[call, *_]):
            raise RuntimeError(f"The agent's tool {call.tool_name} needs an approval, which no client can give.")
        case DeferredToolRequests(calls=calls):
            for call in calls:
                yield stream.for_client(call.tool_call_id, call.tool_name, call.args_as_json_str())
        case output if result.response.tool_calls:  # it was made by a tool, and not streamed as text
            yield stream.text(output if isinstance(output, str) else pydantic_core.to_json(output).decode())
    usage = result.usage
    yield ending(
        result.response.finish_reason,
        prompt=usage.input_tokens,
        completion=usage.output_tokens,
        cached=usage.cache_read_tokens,
        reasoning=usage.output_reasoning_tokens or 0,
    )


def _conversation(messages: Messages) -> Json:
    """Return the conversation and the client's instructions, which are added to those of the agent."""
    builder, instructions, names = MessagesBuilder(), list[str](), dict[str, str]()
    for param, message in numbered(messages):
        with reading(param):
            if message["role"] in ("system", "developer"):
                instructions.append(text_of(message))
            for part in _message_parts(message, names):
                builder.add(part)
    return {
        "message_history": builder.messages,
        "instructions": "\n\n".join(instructions) or None,
        "capabilities": [ReinjectSystemPrompt()],
    }


def _message_parts(message: Json, names: dict[str, str]) -> Iterator[ai.ModelRequestPart | ai.ModelResponsePart]:
    match message["role"]:
        case "user":
            yield ai.UserPromptPart([_content(part) for part in parts_of(message)])
        case "assistant":
            if text := text_of(message):
                yield ai.TextPart(text)
            for call in message.get("tool_calls") or ():
                function = call["function"]
                names[call["id"]] = function["name"]
                yield ai.ToolCallPart(function["name"], function.get("arguments"), call["id"])
        case "tool":
            call_id = message["tool_call_id"]
            yield ai.ToolReturnPart(names.get(call_id, ""), text_of(message), call_id)


def _content(part: Json) -> ai.UserContent:
    match part:
        case {"type": "text" | "refusal" as name}:
            return str(part[name])
        case {"type": "image_url", "image_url": {"url": url}} if not url.startswith("data:"):
            return ai.ImageUrl(url)
        case {"type": "image_url", "image_url": {"url": url}} | {"type": "file", "file": {"file_data": url}}:
            return ai.BinaryContent.from_data_uri(url)
        case {"type": "input_audio", "input_audio": {"data": data, "format": kind}}:
            return ai.BinaryContent(b64decode(data), media_type=f"audio/{kind}")
    raise ValueError(f"content of the type {part['type']!r} is not text, image_url, input_audio, file")


def _own_tools(agent: Agent[Any, Any]) -> set[str]:
    toolsets = (toolset for toolset in agent.toolsets if isinstance(toolset, FunctionToolset))
    return {name for toolset in toolsets for name in toolset.tools}


def _tools(agent: Agent[Any, Any], offered: Mapping[str, Json]) -> Json:
    if not offered:
        return {}
    tools = [
        ToolDefinition(name=name, description=function["description"], parameters_json_schema=function["parameters"])
        for name, function in offered.items()
    ]
    arguments: Json = {"toolsets": [ExternalToolset(tools)]}
    own = agent.output_type
    if not (isinstance(own, list) and DeferredToolRequests in own):  # validators of the output allow no other type
        arguments["output_type"] = [own, DeferredToolRequests]
    return arguments


def _settings(body: Body) -> Json:
    settings = parameters_of(body, SETTINGS)
    if isinstance(settings.get("stop_sequences"), str):
        settings["stop_sequences"] = [settings["stop_sequences"]]
    return settings
