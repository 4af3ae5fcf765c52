"""The models that each server offers, and how a right answer of theirs is told."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from threading import Lock
from typing import Any

import numpy as np
from haystack.dataclasses import StreamingChunk
from msgspec import Struct

from schemas.chat import ChatCompletionChunk, ChunkChoice, Delta, FunctionCallDelta, ToolCallDelta

__all__ = ["CHAT", "EMBEDDINGS", "MODELS", "STRUCTURED", "TRICKLE_PAUSE", "Model"]

TOKEN = "token "  # noqa: S105 - what a model yields
BURST = 200  # chunks
TRICKLE, TRICKLE_PAUSE = 150, 0.02  # chunks, and the seconds between two
LONG, LONG_PAUSE = 20, 0.25
BULK, BULK_CHUNK = 50_000, TOKEN.ljust(1000, "x")  # 50 MB
FOREVER = 3600  # seconds
CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
DIMENSIONS, TEXTS = 1536, 100
CALL = 0.002  # seconds that a model on a GPU takes for a call, of one text or of several


class Model(Struct, frozen=True):
    """A model, and the text that a right answer holds so many times.

    Args:
        function: of `(model, messages, body)`.
        text: what the load looks for in an answer.
        times: how often it yields the text.
        stream: whether the answer is asked for as a stream.
        path: where it is asked.
        said: how often an answer says what was yielded.
        asks: what is asked, if not by a message.
        batch: how many texts an embedder takes at once, if several requests may share a call.
    """

    function: Callable[..., Any]
    text: str = TOKEN
    times: int = 1
    stream: bool = True
    path: str = CHAT
    said: int = 1
    asks: Mapping[str, object] = {}
    batch: int = 0


def _sync(times: int, text: str = TOKEN, pause: float = 0) -> Callable[..., Iterator[str]]:
    def generate(model: str, messages: object, body: object) -> Iterator[str]:
        for _ in range(times):
            yield text
            if pause:
                time.sleep(pause)

    return generate


def _async(times: int, text: str = TOKEN, pause: float = 0) -> Callable[..., AsyncIterator[str]]:
    async def generate(model: str, messages: object, body: object) -> AsyncIterator[str]:
        for _ in range(times):
            yield text
            if pause:
                await asyncio.sleep(pause)

    return generate


def _items(item: Callable[[], object]) -> Callable[..., AsyncIterator[object]]:
    async def generate(model: str, messages: object, body: object) -> AsyncIterator[object]:
        for _ in range(BURST):
            yield item()

    return generate


def _call() -> Delta:
    return Delta(tool_calls=[ToolCallDelta(index=0, function=FunctionCallDelta(name="f", arguments=TOKEN))])


STRUCTURED = {
    "Delta": lambda: Delta(content=TOKEN),
    "chunk": lambda: ChatCompletionChunk(choices=[ChunkChoice(delta=Delta(content=TOKEN))]),
    "tool call": _call,
    "StreamingChunk": lambda: StreamingChunk(content=TOKEN),
}


def _answer(model: str, messages: object, body: object) -> str:
    return "Hello, world"


async def _answer_async(model: str, messages: object, body: object) -> str:
    return "Hello, world"


_VECTORS = np.random.default_rng(1).normal(0, 0.03, (TEXTS, DIMENSIONS)).astype("f4")
_GPU = Lock()


async def _embed(texts: list[str]) -> Any:
    return _VECTORS[: len(texts)]


def _embed_on_gpu(texts: list[str]) -> Any:
    with _GPU:  # one call at a time
        time.sleep(CALL)
    return _VECTORS[: len(texts)]


def _embedder(function: Callable[..., Any], encoding: str, texts: int = 1, batch: int = 0) -> Model:
    asks = {"input": ["Hello, world"] * texts, "encoding_format": encoding}
    text = '"object":"embedding"'
    return Model(function, text, times=texts, stream=False, path=EMBEDDINGS, asks=asks, batch=batch)


MODELS = {
    "burst-sync": Model(_sync(BURST), times=BURST),
    "burst-async": Model(_async(BURST), times=BURST),
    **{name: Model(_items(item), times=BURST) for name, item in STRUCTURED.items()},
    "trickle": Model(_async(TRICKLE, pause=TRICKLE_PAUSE), times=TRICKLE),
    "long-sync": Model(_sync(LONG, pause=LONG_PAUSE), times=LONG),
    "long-async": Model(_async(LONG, pause=LONG_PAUSE), times=LONG),
    "bulk-sync": Model(_sync(BULK, BULK_CHUNK), times=BULK),
    "bulk-async": Model(_async(BULK, BULK_CHUNK), times=BULK),
    "idle-sync": Model(_sync(1, pause=FOREVER)),
    "idle-async": Model(_async(1, pause=FOREVER)),
    "answer-sync": Model(_answer, text="Hello, world", stream=False),
    "answer-async": Model(_answer_async, text="Hello, world", stream=False),
    "responses-async": Model(_async(BURST), times=BURST, path=RESPONSES, said=5),  # in deltas, and where these end
    "response-async": Model(_answer_async, text="Hello, world", stream=False, path=RESPONSES),
    "embed-1-float": _embedder(_embed, "float"),
    "embed-1-base64": _embedder(_embed, "base64"),
    "embed-100-float": _embedder(_embed, "float", TEXTS),
    "embed-100-base64": _embedder(_embed, "base64", TEXTS),
    "embed-gpu": _embedder(_embed_on_gpu, "base64"),
    "embed-gpu-batched": _embedder(_embed_on_gpu, "base64", batch=64),
}
