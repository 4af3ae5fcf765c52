"""Haystack's pipelines, chat generators and agents as models of this server.

Importing this imports Haystack, which takes seconds: do it in the function that makes the model.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

from haystack import Pipeline

from app.engine.buffer import Buffer
from app.engine.results import CallbackStream, Item
from app.engine.run import run_sync
from app.errors import InvalidRequestError
from app.haystack.errors import translated
from app.haystack.events import citation
from app.haystack.messages import to_chat_messages
from app.haystack.outline import Data, Inputs, Outline
from app.haystack.parameters import parameters_of
from app.haystack.speakers import AnyComponent, Run, within
from app.services import Body, Messages

__all__ = ["HaystackModel", "haystack_component", "haystack_pipeline"]

Parameters: TypeAlias = Callable[[Body], dict[str, Any]]

# It warns at each request of a sync callback in async code, which is what sync generators within agents need
logging.getLogger("haystack.dataclasses.streaming_chunk").setLevel(logging.ERROR)


def haystack_pipeline(
    pipeline: Pipeline,
    *,
    inputs: Inputs | None = None,
    output: str | None = None,
    streaming: Iterable[str] | None = None,
    documents: str | None = None,
    parameters: Parameters = parameters_of,
) -> "HaystackModel":
    """A pipeline as a model; its components run on the event loop if they can, else in threads.

    Args:
        pipeline: shared by all requests.
        inputs: of the messages and the request's body, the pipeline's inputs, in either of Haystack's forms. By
            default each input called `messages` is the conversation, and `query` or `question` what the user said last.
        output: where the reply is, e.g. `"llm.replies"`; by default an output at the pipeline's end that is called
            `replies`, `last_message` or `answers`.
        streaming: the components that are heard while they generate; by default the one that the reply comes from.
        documents: where the documents are that the answer rests on, e.g. `"retriever.documents"`; the client is
            shown them.
        parameters: of the body, what the components that are heard are given beside that, as far as they take
            it: `generation_kwargs` and `tools`.

    Raises:
        ValueError: the pipeline's inputs or its reply cannot be found without being named.
    """
    outline = Outline(pipeline, inputs=inputs, output=output, streaming=streaming, documents=documents)
    return HaystackModel(pipeline, outline, parameters)


def haystack_component(
    component: AnyComponent, *, inputs: Inputs | None = None, parameters: Parameters = parameters_of
) -> "HaystackModel":
    """A chat generator or an agent as a model.

    The tools that an agent calls are called here; the client sees them as events, not as calls that it would answer.

    Args:
        component: takes `messages`, and gives `replies` or a `last_message`.
        inputs: of the messages and the request's body, all that the component is given; by default the messages.
        parameters: of the body, what it is given beside that, as far as it takes it.
    """
    pipeline = Pipeline()
    pipeline.add_component("component", component)
    return haystack_pipeline(pipeline, inputs=inputs, parameters=parameters)


class HaystackModel:
    """A pipeline that answers chats: what `haystack_pipeline` makes."""

    def __init__(self, pipeline: Pipeline, outline: Outline, parameters: Parameters) -> None:
        self._pipeline = pipeline
        self._outline = outline
        self._parameters = parameters

    async def __call__(self, model: str, messages: Messages, body: Body) -> CallbackStream:
        """Answer a chat.

        Raises:
            InvalidRequestError: Haystack cannot hold a message or a tool, or more than one answer is asked for.
        """
        if (body.get("n") or 1) > 1:
            raise InvalidRequestError("This model gives one answer at a time: n must be 1.", param="n")
        data = await run_sync(self._data, messages, body)  # to check images and tools takes long
        return CallbackStream(partial(self._run, data, bool(body.get("stream"))))

    async def start(self) -> None:
        """Warm the components up, those that do it in sync code in a thread."""
        for _, component in self._pipeline.walk():
            for part in (*within(component), component):
                if not hasattr(part, "warm_up_async") and hasattr(part, "warm_up"):
                    await asyncio.to_thread(part.warm_up)
        await self._pipeline.warm_up_async()

    async def close(self) -> None:
        """Release what the components hold."""
        await self._pipeline.close_async()

    def _data(self, messages: Messages, body: Body) -> Data:
        data = self._outline.inputs(to_chat_messages(messages), body)
        parameters = self._parameters(body)
        for speaker in self._outline.speakers:
            data[speaker.name] = _beside(data.get(speaker.name, {}), speaker.inputs(parameters))
        return data

    async def _run(self, data: Data, streams: bool, buffer: Buffer[Item]) -> None:
        run = Run(buffer, streams=streams, all_speak=self._outline.all_speak)
        for speaker in self._outline.speakers:
            if (callback := run.callback(speaker)) is not None:
                data[speaker.name]["streaming_callback"] = callback
        with translated():
            outputs = await self._pipeline.run_async(data, include_outputs_from=self._outline.needed)
        await run.finish(self._outline.reply(outputs, run.heard))
        for document in self._outline.documents(outputs):
            await buffer.send(citation(document))


def _beside(given: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """What a component is given, and beside it what the request asks for."""
    kwargs = {**parameters.get("generation_kwargs", {}), **(given.get("generation_kwargs") or {})}
    return {**parameters, **given, **({"generation_kwargs": kwargs} if kwargs else {})}
