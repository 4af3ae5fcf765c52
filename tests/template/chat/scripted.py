"""A service that answers as a test says, the client that asks it, and readers of its answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TypeAlias

import pytest
from httpx import Response
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from app.services import Body, Messages
from schemas.chat import Json
from tests.conftest import Client, ask, yielding
from tests.template.chat.samples import Sample, bare


class Scripted:
    """A service that gives a result, or what a function gives, and keeps what it was asked."""

    client: Client

    def __init__(self, result: object = "Hello!") -> None:
        self.result = result
        self.asked: list[tuple[str, Messages, Body]] = []

    async def complete(self, model: str, messages: Messages, body: Body) -> object:
        self.asked.append((model, messages, body))
        return self.result(model, messages, body) if callable(self.result) else self.result

    def list_models(self) -> list[str]:
        return ["test", "other"]

    @property
    def messages(self) -> Messages:
        """The messages of the last request."""
        return self.asked[-1][1]

    @property
    def body(self) -> Body:
        """The body of the last request."""
        return self.asked[-1][2]

    def ask(self, result: object, **fields: object) -> Response:
        self.result = result
        return ask(self.client, **fields)

    def completion(self, result: object) -> Json:
        """Return the whole completion that becomes of a result."""
        response = self.ask(result)
        assert response.status_code == 200, response.text
        completion: Json = response.json()
        return completion

    def chunks(self, result: object, *, include_usage: bool = False) -> list[Json]:
        """Return the chunks that become of a result, without `[DONE]`."""
        response = self.ask(result, stream=True, stream_options={"include_usage": include_usage})
        assert response.status_code == 200, response.text
        return [json.loads(data, parse_constant=pytest.fail) for data in data_of(response)[:-1]]


def async_yielding(*items: object, pauses: bool = False) -> Callable[..., AsyncIterator[object]]:
    """Return a model as `yielding` does, but an async one."""

    async def complete(model: str, messages: Messages, body: Body) -> AsyncIterator[object]:
        for item in yielding(*items)(model, messages, body):
            if pauses:
                await asyncio.sleep(0)
            yield item

    return complete


Way: TypeAlias = Callable[..., Callable[..., object]]
WAYS: list[Way] = [yielding, async_yielding, partial(async_yielding, pauses=True)]


def played(said: Sequence[Sample], way: Way = yielding) -> Callable[..., object]:
    """Return a model that yields new items."""
    return way(*(sample.item for sample in said))


def data_of(response: Response) -> list[str]:
    """Return the data of all frames of a stream, each of which must be one line of UTF-8."""
    *frames, rest = response.content.decode("utf-8").split("\n\n")
    assert rest == "", f"the stream ends in the middle of a frame: {rest!r}"
    for frame in frames:
        assert frame.startswith("data: "), f"not a frame of data: {frame!r}"
        assert frame.splitlines() == [frame], f"more than one line: {frame!r}"
    return [frame.removeprefix("data: ") for frame in frames]


def accumulated(chunks: Sequence[Json]) -> Json:
    """Return the completion that OpenAI's own client makes of the chunks."""
    state = ChatCompletionStreamState()
    for chunk in chunks:
        list(state.handle_chunk(ChatCompletionChunk.model_validate(chunk)))
    return state.current_completion_snapshot.to_dict()


def summary(completion: Json) -> Json:
    """Return what a completion says, in its answers by their order, and its usage unless it is all 0."""
    choices = sorted(completion["choices"], key=lambda choice: choice["index"])
    usage = completion.get("usage")
    said: Json = bare({"choices": choices, "usage": usage if usage and usage["total_tokens"] else None})
    return said
