"""Haystack pipelines, chat generators and agents as models.

Importing this imports Haystack, which takes seconds: import it in the factory of a model.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from typing import Unpack

from haystack import Pipeline
from haystack.components.agents import Agent
from msgspec import Struct

from app.engine.results import CallbackStream, Sink
from app.engine.run import run_sync
from app.haystack.discovery import Data, Options, PipelineInterface
from app.haystack.errors import translated_errors
from app.haystack.events import citation, show, streaming_run, watch
from app.haystack.graph import AnyComponent, generators_within
from app.haystack.messages import to_chat_messages
from app.haystack.streaming import OnEvent, StreamingRun
from app.services import Body, Messages

__all__ = ["HaystackModel", "haystack_component", "haystack_pipeline"]

# It warns of a sync callback in async code, which sync generators in agents need, at each request
logging.getLogger("haystack.dataclasses.streaming_chunk").setLevel(logging.ERROR)


def haystack_pipeline(pipeline: Pipeline, **options: Unpack[Options]) -> "HaystackModel":
    """Return a model that runs a pipeline, on the event loop where its components can, otherwise in threads.

    Args:
        pipeline: The pipeline, which all requests share.
        **options: All of these may be left out.

    - `inputs` returns the pipeline's inputs, in either of Haystack's forms, for the messages and the body of a request,
      and its headers if it names them. By default inputs called `messages` are the conversation, and `query` or
      `question` the user's last message.
    - `output` is the address of the reply, e.g. `"llm.replies"`, or several, of which the first that has a value is the
      reply. By default these are the unconnected outputs called `replies`, `last_message` or `answers`.
    - `streaming` names the components whose texts are the answer, one after another. By default it is what the
      generator or agent makes whose text is the reply: it is in no loop, and nothing but joiners or an answer builder
      without a pattern follows. If there is none, the reply is sent at the end.
    - `documents` is the address of the documents, or the answers with documents, that the client is shown as sources.
    - `parameters` returns what the components that make the reply, or are named by `streaming`, get of the body of a
      request, as far as they take it: `generation_kwargs` and `tools`. By default these are OpenAI's parameters, under
      the names of the generator's class.
    - `on_event` is called at the start of a tool call (with a `ToolCall`) and its end (a `ToolCallResult`), for
      reasoning (a `ReasoningContent`) and at the end (the outputs). It returns what is sent: a line above the answer,
      an event such as `{"type": "status", "data": {…}}`, an item like a `Delta`, or None.

    Raises:
        ValueError: An input or the reply cannot be found, and must be named.
    """
    interface = PipelineInterface(pipeline, options)
    for generator in interface.generators:
        if isinstance(generator.source, Agent):
            watch(generator.source)
    return HaystackModel(pipeline, interface, options.get("on_event", show))


def haystack_component(component: AnyComponent, **options: Unpack[Options]) -> "HaystackModel":
    """Return a model that runs a chat generator or an agent, as a pipeline of one component called `component`."""
    pipeline = Pipeline()
    pipeline.add_component("component", component)
    return haystack_pipeline(pipeline, **options)


class ServedPipeline(Struct, frozen=True):
    """A pipeline that is ready while the server runs."""

    pipeline: Pipeline

    async def start(self) -> None:
        """Warm up the components; those that do it in sync code do it in a thread."""
        for _, component in self.pipeline.walk():
            for part in (*generators_within(component), component):
                if not hasattr(part, "warm_up_async") and hasattr(part, "warm_up"):
                    await asyncio.to_thread(part.warm_up)
        await self.pipeline.warm_up_async()

    async def close(self) -> None:
        """Release the resources of the components."""
        await self.pipeline.close_async()


class HaystackModel(ServedPipeline, frozen=True):
    """Model that runs a Haystack pipeline; `haystack_pipeline` makes it."""

    interface: PipelineInterface
    on_event: OnEvent

    async def __call__(self, model: str, messages: Messages, body: Body, headers: Mapping[str, str]) -> CallbackStream:
        """Answer the messages."""
        data = await run_sync(self._data, messages, body, headers)  # checking images and tools takes long
        return CallbackStream(partial(self._run, data, bool(body.get("stream"))))

    def _data(self, messages: Messages, body: Body, headers: Mapping[str, str]) -> Data:
        data = self.interface.inputs(to_chat_messages(messages), body, headers)
        for generator in self.interface.generators:
            data[generator.name] = generator.inputs(data.get(generator.name, {}), body)
        return data

    async def _run(self, data: Data, stream: bool, sink: Sink) -> None:
        interface, on_event = self.interface, self.on_event
        run = StreamingRun(sink, interface.generators, on_event, stream=stream, in_order=interface.streams_in_order)
        streaming_run.set(run)
        for generator in interface.generators:
            if (callback := run.callback(generator)) is not None:
                data[generator.name]["streaming_callback"] = callback
        with translated_errors():
            outputs: Data = {}
            async with aclosing(self.pipeline.run_async_generator(data, interface.needed)) as parts:
                async for outputs in parts:  # of each component when it has ended, and at last of all
                    await run.component_ended(outputs)
        await run.end(interface.reply)
        for document in interface.documents(outputs):
            await sink.send(citation(document))
