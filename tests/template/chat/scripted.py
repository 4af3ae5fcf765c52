"""A server whose one model gives what a test says, and readers of its answers."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from httpx import Response
from litestar import Litestar
from litestar.testing import TestClient
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from app.services import Body, Messages
from tests.conftest import ask
from tests.template.chat.forms import bare
from tests.template.chat.samples import Sample

Json: TypeAlias = dict[str, Any]
Manner: TypeAlias = Literal["sync", "async", "async, one by one"]

MODEL = "test"
DONE = "[DONE]"
_LINE_END = re.compile("[\v\f\x1c-\x1e\x85\u2028\u2029\r\n]")  # as `str.splitlines` has it


@dataclass(frozen=True)
class Script:
    """The items that the model yields, and the error that it raises after them."""

    items: Sequence[object]
    manner: Manner = "sync"
    error: Exception | None = None

    def play(self) -> object:
        return self._sync() if self.manner == "sync" else self._async()

    def _sync(self) -> Iterator[object]:
        yield from self.items
        if self.error is not None:
            raise self.error

    async def _async(self) -> AsyncIterator[object]:
        for item in self._sync():
            if self.manner == "async, one by one":
                await asyncio.sleep(0)
            yield item


class Scripted:
    """A service that gives the result of a test, and the client that asks it."""

    client: TestClient[Litestar]

    def __init__(self) -> None:
        self.result: object = ""  # what the model returns, or the script that it plays

    async def complete(self, model: str, messages: Messages, body: Body) -> object:
        return self.result.play() if isinstance(self.result, Script) else self.result

    def list_models(self) -> list[str]:
        return [MODEL]

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
        return [json.loads(data, parse_constant=_not_json) for data in data_of(response)[:-1]]


def script(said: Sequence[Sample], manner: Manner) -> Script:
    """Return a script of fresh items."""
    return Script([sample.item for sample in said], manner)


def data_of(response: Response) -> list[str]:
    """Return the data of all frames of a stream, each of which must be one line of UTF-8."""
    *frames, rest = response.content.decode("utf-8").split("\n\n")
    assert rest == "", f"the stream ends in the middle of a frame: {rest!r}"
    for frame in frames:
        assert frame.startswith("data: "), f"not a frame of data: {frame!r}"
        assert not _LINE_END.search(frame), f"more than one line: {frame!r}"
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


def _not_json(constant: str) -> object:
    raise AssertionError(f"{constant} is not JSON")
