"""Agents of OpenAI's Agents SDK as models.

Importing this imports the SDK: import it in the factory of a model.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from agents import Agent, FunctionTool, ModelSettings, RunConfig, Runner, RunResultStreaming
from agents.exceptions import InputGuardrailTripwireTriggered, MaxTurnsExceeded, OutputGuardrailTripwireTriggered
from agents.items import ToolCallOutputItem
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai.types.shared import Reasoning

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
from app.model import Body, CompletionError, Delta, Item, Messages, ModelFunction
from schemas.chat import Json

__all__ = ["agents_sdk_model"]

SAME = ("temperature", "top_p", "max_tokens", "presence_penalty", "frequency_penalty", "parallel_tool_calls")
SETTINGS = {name: name for name in (*SAME, "metadata", "verbosity")} | {"max_completion_tokens": "max_tokens"}
INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}
GUARDRAILS = (InputGuardrailTripwireTriggered, OutputGuardrailTripwireTriggered)


def agents_sdk_model(agent: Agent[Any], *, options: Options = no_options) -> ModelFunction:
    """Return a model that runs an agent, whose tool calls and handoffs the client sees as events.

    Args:
        agent: The agent, which all requests share.
        options: Returns further arguments of `Runner.run` for the body of a request, e.g. `context` or `max_turns`. A
            `run_config` replaces ours, which sends no traces to OpenAI.
    """

    async def answer(model: str, messages: Messages, body: Body) -> AsyncIterator[Item]:
        offered = offered_functions(body, {tool.name for tool in agent.tools})
        asked = agent.clone(tools=[*agent.tools, *map(_tool, offered.values())]) if offered else agent
        arguments = {"run_config": RunConfig(tracing_disabled=True), **options(body)}
        arguments["run_config"] = _with_settings(arguments["run_config"], body)
        stream = AgentStream(offered)
        try:
            with translated_errors():
                run = Runner.run_streamed(asked, _conversation(messages), **arguments)
                async with aclosing(_events(run)) as events:
                    async for event in events:
                        for item in _items(event, stream):
                            yield item
                        if _is_incomplete(event):  # the SDK raises an error after it
                            return
                for item in _end(run, stream):
                    yield item
        except MaxTurnsExceeded:
            yield OUT_OF_STEPS
        except GUARDRAILS as error:
            raise CompletionError("A guardrail stopped this.", status=400, code="content_filter") from error

    return answer


async def _events(run: RunResultStreaming) -> AsyncGenerator[Any, None]:
    """Yield the events of a run, which is over at the end, cancelled if the client has left."""
    events: Any = run.stream_events()  # a generator, whatever its type says
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    finally:
        run.cancel()
        if run.run_loop_task is not None:
            await asyncio.wait([run.run_loop_task])


def _items(event: Any, stream: AgentStream) -> Iterator[Item]:
    if event.type == "raw_response_event":
        yield from _of_response(event.data, stream)
    elif event.type == "run_item_stream_event":
        call, name = event.item.raw_item, event.name
        if name in ("tool_called", "handoff_requested") and _name_of(call) not in stream.offered:
            yield stream.calling(_field(call, "call_id"), _name_of(call), _field(call, "arguments"))
        elif name in ("tool_output", "handoff_occured"):
            yield stream.called(_field(call, "call_id"), str(_field(call, "output")))


def _is_incomplete(event: Any) -> bool:
    return bool(event.type == "raw_response_event" and event.data.type == "response.incomplete")


def _of_response(event: Any, stream: AgentStream) -> Iterator[Item]:
    match event.type:
        case "response.output_text.delta":
            yield stream.text(event.delta)
        case "response.refusal.delta":
            yield Delta(refusal=event.delta)
        case "response.reasoning_text.delta" | "response.reasoning_summary_text.delta":
            yield Delta(reasoning_content=event.delta)
        case "response.incomplete":
            reason = event.response.incomplete_details and event.response.incomplete_details.reason
            yield {"choices": [{"delta": {}, "finish_reason": INCOMPLETE.get(reason)}]}


def _end(run: RunResultStreaming, stream: AgentStream) -> Iterator[Item]:
    for item in run.interruptions:
        if _name_of(item.raw_item) not in stream.offered:
            raise RuntimeError(
                f"The agent's tool {_name_of(item.raw_item)} needs an approval, which no client can give."
            )
        yield stream.for_client(*(_field(item.raw_item, name) for name in ("call_id", "name", "arguments")))
    if run.new_items and isinstance(run.new_items[-1], ToolCallOutputItem):  # a tool's output is the answer
        yield stream.text(str(run.final_output))
    usage = run.context_wrapper.usage
    yield ending(
        None,
        prompt=usage.input_tokens,
        completion=usage.output_tokens,
        cached=usage.input_tokens_details.cached_tokens,
        reasoning=usage.output_tokens_details.reasoning_tokens,
    )


def _tool(function: Json) -> FunctionTool:
    """Return a tool whose call ends the run, as nobody approves it."""

    async def call(context: Any, arguments: str) -> str:
        raise RuntimeError("A tool of the client was called in the server.")

    name, description, parameters = function["name"], function["description"], function["parameters"]
    strict = bool(function.get("strict"))
    return FunctionTool(name, description, parameters, call, strict_json_schema=strict, needs_approval=True)


def _with_settings(config: RunConfig, body: Body) -> RunConfig:
    settings = ModelSettings(**parameters_of(body, SETTINGS), include_usage=True)
    if effort := body.get("reasoning_effort"):
        settings.reasoning = Reasoning(effort=effort)
    return replace(config, model_settings=(config.model_settings or ModelSettings()).resolve(settings))


def _conversation(messages: Messages) -> list[Any]:
    items: list[Json] = []
    for param, message in numbered(messages):
        with reading(param):
            items += _input_items(message)
    return items


def _input_items(message: Json) -> Iterator[Json]:
    match message["role"]:
        case "system" | "developer" as role:
            yield {"role": role, "content": text_of(message)}
        case "user":
            yield {"role": "user", "content": [_content(part) for part in parts_of(message)]}
        case "tool":
            yield {"type": "function_call_output", "call_id": message["tool_call_id"], "output": text_of(message)}
        case "assistant":
            if text := text_of(message):
                content = [{"type": "output_text", "text": text, "annotations": []}]
                head = {"type": "message", "id": FAKE_RESPONSES_ID, "status": "completed"}
                yield {**head, "role": "assistant", "content": content}
            for call in message.get("tool_calls") or ():
                function = call["function"]
                arguments = function.get("arguments") or "{}"
                yield {"type": "function_call", "call_id": call["id"], "name": function["name"], "arguments": arguments}


def _content(part: Json) -> Json:
    match part:
        case {"type": "text" | "refusal" as name}:
            return {"type": "input_text", "text": part[name]}
        case {"type": "image_url", "image_url": image}:
            return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail") or "auto"}
        case {"type": "file", "file": file}:
            return {"type": "input_file", **file}
    raise ValueError(f"content of the type {part['type']!r} is not text, image_url, file")


def _field(item: Any, name: str) -> Any:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)


def _name_of(call: Any) -> str:
    """Return the name of a tool; one that OpenAI runs has none but its type, e.g. `web_search_call`."""
    return str(_field(call, "name") or _field(call, "type"))
