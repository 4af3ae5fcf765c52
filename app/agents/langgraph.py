"""Graphs of LangGraph, and chat models and other runnables of LangChain, as models.

Importing this imports LangGraph: import it in the factory of a model.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any, TypeAlias

import msgspec
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage, convert_to_messages
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.runnables import Runnable
from langchain_core.runnables.config import merge_configs
from langgraph.errors import GraphRecursionError
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel

from app.agents.errors import translated_errors
from app.agents.events import OUT_OF_STEPS, AgentStream, ending
from app.agents.request import Options, no_options, numbered, offered_functions, parameters_of, reading
from app.model import Body, Delta, Item, Messages, ModelFunction

__all__ = ["langgraph_model"]

Inputs: TypeAlias = Callable[[list[BaseMessage], Body], Any]

logger = logging.getLogger("app.agents")

SAME = ("temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty", "frequency_penalty")
PARAMETERS = {name: name for name in (*SAME, "reasoning_effort")} | {"max_completion_tokens": "max_tokens"}


def langgraph_model(
    graph: Runnable[Any, Any], *, inputs: Inputs | None = None, options: Options = no_options
) -> ModelFunction:
    """Return a model that runs a graph, whose tool calls the client sees as events, or another runnable.

    Args:
        graph: The graph, chat model or chain, which all requests share.
        inputs: Returns its input for the messages and the body of a request; by default the messages, which for a graph
            are its state `messages`.
        options: Returns further arguments of its `astream` for the body of a request, e.g. `config`.
    """
    is_graph = isinstance(graph, Pregel)
    stream_of = _of_graph if is_graph else _of_runnable
    own = _own_tools(graph) if isinstance(graph, Pregel) else set[str]()

    async def answer(model: str, messages: Messages, body: Body) -> AsyncIterator[Item]:
        history = _history(messages)
        given = inputs(history, body) if inputs else {"messages": history} if is_graph else history
        run = _Run(AgentStream(offered_functions(body, own)))
        try:
            with translated_errors():
                async with aclosing(stream_of(graph, given, body, options)) as outputs:
                    async for output in outputs:
                        for item in run.items(output):
                            yield item
                        if run.is_over:
                            break
            yield run.end()
        except GraphRecursionError:
            yield OUT_OF_STEPS

    return answer


class _Run:
    """One run: the messages that are not whole yet, and the tokens of all."""

    def __init__(self, stream: AgentStream) -> None:
        self._stream = stream
        self._unfinished: dict[str | None, list[Any]] = {}
        self._own_calls: set[str | None] = set()
        self._has_called_client = False
        self._usage: UsageMetadata | None = None
        self._finish_reason: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether only the client can go on: it was called, and the tools called beside it have answered."""
        return self._has_called_client and not self._own_calls

    def items(self, output: Any) -> Iterator[Item]:
        """Yield the items for a message, a part of one, or another output of a chain."""
        match output:
            case ToolMessage(tool_call_id=call_id) if call_id in self._own_calls:
                self._own_calls.remove(call_id)
                failed = output.status == "error"
                yield self._stream.called(call_id, output.text, failed=failed)
            case AIMessage():
                yield from self._of_message(output)
            case BaseMessage():  # of the conversation, or the answer to a call of the client's tool
                return
            case str():
                yield self._stream.text(output)
            case _:
                yield self._stream.text(msgspec.json.encode(output, enc_hook=str).decode())

    def end(self) -> Item:
        """Return the end of the answer."""
        usage: Any = self._usage or {}
        return ending(
            self._finish_reason,
            prompt=usage.get("input_tokens", 0),
            completion=usage.get("output_tokens", 0),
            cached=usage.get("input_token_details", {}).get("cache_read", 0),
            reasoning=usage.get("output_token_details", {}).get("reasoning", 0),
        )

    def _of_message(self, message: AIMessage) -> Iterator[Item]:
        for block in message.content_blocks:
            if block["type"] == "text":
                yield self._stream.text(block["text"])
            elif block["type"] == "reasoning":
                yield Delta(reasoning_content=block.get("reasoning", ""))
        self._usage = add_usage(self._usage, message.usage_metadata)
        self._finish_reason = message.response_metadata.get("finish_reason", self._finish_reason)
        parts = self._unfinished.setdefault(message.id, [])
        parts.append(message)
        if not isinstance(message, AIMessageChunk) or message.chunk_position == "last":
            del self._unfinished[message.id]
            yield from self._calls((parts[0] + parts[1:] if parts[1:] else parts[0]).tool_calls)

    def _calls(self, calls: list[Any]) -> Iterator[Item]:
        for call in calls:
            arguments = msgspec.json.encode(call["args"]).decode()
            if call["name"] in self._stream.offered:
                self._has_called_client = True
                yield self._stream.for_client(call["id"], call["name"], arguments)
            else:
                self._own_calls.add(call["id"])
                yield self._stream.calling(call["id"], call["name"], arguments)


def _own_tools(graph: Pregel[Any, Any, Any, Any]) -> set[str]:
    nodes = (node.bound for node in graph.nodes.values())
    return {name for node in nodes if isinstance(node, ToolNode) for name in node.tools_by_name}


async def _of_graph(graph: Any, given: Any, body: Body, options: Options) -> AsyncGenerator[Any, None]:
    arguments = dict(options(body))
    tools = body.get("tools") if offered_functions(body) else []
    config: Any = {"configurable": parameters_of(body, PARAMETERS) | {"tools": tools}}
    config = merge_configs(config, arguments.pop("config", None))
    async with aclosing(graph.astream(given, config, stream_mode="messages", **arguments)) as outputs:
        async for message, _ in outputs:
            yield message


async def _of_runnable(runnable: Any, given: Any, body: Body, options: Options) -> AsyncGenerator[Any, None]:
    arguments = {**options(body)}
    if isinstance(runnable, BaseChatModel):
        arguments = parameters_of(body, PARAMETERS) | arguments
    runnable = _with_tools(runnable, body)
    if not body.get("stream"):  # many report usage only then
        yield await runnable.ainvoke(given, **arguments)
        return
    async with aclosing(runnable.astream(given, **arguments)) as outputs:
        async for output in outputs:
            yield output


def _with_tools(runnable: Any, body: Body) -> Any:
    """Return a chat model that may call the client's tools, if it can."""
    offered = offered_functions(body)
    if not offered:
        return runnable
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        choice = choice["function"]["name"]
    try:
        return runnable.bind_tools(body["tools"], tool_choice="any" if choice == "required" else choice)
    except (AttributeError, NotImplementedError):
        logger.warning("%s cannot call tools, so those of the client are ignored.", type(runnable).__name__)
        return runnable


def _history(messages: Messages) -> list[BaseMessage]:
    history: list[BaseMessage] = []
    for param, message in numbered(messages):
        with reading(param):
            history += convert_to_messages([message])
    return history
