"""Haystack pipelines, chat generators and agents as models.

Importing this imports Haystack, which takes seconds: import it in the factory of a model.
"""

import asyncio
import logging
from collections.abc import Iterable
from functools import partial

from haystack import Pipeline

from app.engine.results import CallbackStream, Sink
from app.engine.run import run_sync
from app.haystack.discovery import Data, Inputs, PipelineInterface
from app.haystack.errors import translated_errors
from app.haystack.events import citation
from app.haystack.messages import to_chat_messages
from app.haystack.parameters import Parameters, parameters_for, with_openai_usage
from app.haystack.streaming import AnyComponent, StreamingRun, generators_within
from app.services import Body, Messages

__all__ = ["HaystackModel", "haystack_component", "haystack_pipeline"]

# It warns of a sync callback in async code, which sync generators in agents need, at each request
logging.getLogger("haystack.dataclasses.streaming_chunk").setLevel(logging.ERROR)


def haystack_pipeline(
    pipeline: Pipeline,
    *,
    inputs: Inputs | None = None,
    output: str | None = None,
    streaming: Iterable[str] | None = None,
    documents: str | None = None,
    parameters: Parameters | None = None,
) -> "HaystackModel":
    """Return a model that runs a pipeline, on the event loop where its components can, otherwise in threads.

    Args:
        pipeline: The pipeline, which all requests share.
        inputs: Returns the pipeline's inputs for the messages and the body of a request, in either of Haystack's forms.
            By default inputs called `messages` are the conversation, and `query` or `question` the user's last message.
        output: The address of the reply, e.g. `"llm.replies"`. By default it is an unconnected output called
            `replies`, `last_message` or `answers`.
        streaming: The components that are streamed; by default the one that the reply comes from.
        documents: The address of the documents that the client is shown as sources, e.g. `"retriever.documents"`.
        parameters: Returns what the streamed components get of the body of a request, as far as they take it:
            `generation_kwargs` and `tools`. By default OpenAI's parameters, under the names of the generator's class.

    Raises:
        ValueError: An input or the reply cannot be found, and must be named.
    """
    interface = PipelineInterface(pipeline, inputs=inputs, output=output, streaming=streaming, documents=documents)
    return HaystackModel(pipeline, interface, parameters)


def haystack_component(
    component: AnyComponent, *, inputs: Inputs | None = None, parameters: Parameters | None = None
) -> "HaystackModel":
    """Return a model that runs a chat generator or an agent, whose tool calls the client sees as events.

    Args:
        component: Takes `messages`, and returns `replies` or a `last_message`.
        inputs: Returns the inputs of the component for the messages and the body of a request.
        parameters: See `haystack_pipeline`.
    """
    pipeline = Pipeline()
    pipeline.add_component("component", component)
    return haystack_pipeline(pipeline, inputs=inputs, parameters=parameters)


class HaystackModel:
    """A pipeline as a model; `haystack_pipeline` makes it."""

    def __init__(self, pipeline: Pipeline, interface: PipelineInterface, parameters: Parameters | None) -> None:
        self._pipeline = pipeline
        self._interface = interface
        self._parameters = parameters

    async def __call__(self, model: str, messages: Messages, body: Body) -> CallbackStream:
        """Answer the messages."""
        data = await run_sync(self._data, messages, body)  # checking images and tools takes long
        return CallbackStream(partial(self._run, data, bool(body.get("stream"))))

    async def start(self) -> None:
        """Warm up the components; those that do it in sync code do it in a thread."""
        for _, component in self._pipeline.walk():
            for part in (*generators_within(component), component):
                if not hasattr(part, "warm_up_async") and hasattr(part, "warm_up"):
                    await asyncio.to_thread(part.warm_up)
        await self._pipeline.warm_up_async()

    async def close(self) -> None:
        """Release the resources of the components."""
        await self._pipeline.close_async()

    def _data(self, messages: Messages, body: Body) -> Data:
        data = self._interface.inputs(to_chat_messages(messages), body)
        for component in self._interface.streaming:
            parameters = self._parameters(body) if self._parameters else parameters_for(component.component, body)
            data[component.name] = component.inputs(data.get(component.name, {}), parameters)
        return data

    async def _run(self, data: Data, stream: bool, sink: Sink) -> None:
        run = StreamingRun(sink, stream=stream, streams_all=self._interface.streams_all)
        for component in self._interface.streaming:
            if (callback := run.callback(component)) is not None:
                data[component.name]["streaming_callback"] = callback
        with translated_errors():
            outputs = await self._pipeline.run_async(data, include_outputs_from=self._interface.needed)
        await run.finish(with_openai_usage(self._interface.reply(outputs, run.streamed)))
        for document in self._interface.documents(outputs):
            await sink.send(citation(document))
