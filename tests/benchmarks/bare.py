"""A bare ASGI loop: what a chunk costs that is encoded by msgspec and sent in a write of its own.

It checks nothing and knows no threads, so a sync generator runs on the event loop.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from tests.benchmarks.models import MODELS

__all__ = ["app"]

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

ID = "chatcmpl-0123456789abcdef0123456789abcdef"
encode = msgspec.json.Encoder().encode


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request; which, its path says."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/v1/models":
        models = [{"id": name, "object": "model", "created": 1, "owned_by": "custom"} for name in MODELS]
        return await _send_json({"object": "list", "data": models}, send)
    body = msgspec.json.decode((await receive())["body"])
    result = MODELS[body["model"]].function(body["model"], body["messages"], body)
    if body["stream"]:
        return await _send_stream(body["model"], result, send)
    content = await result if inspect.isawaitable(result) else result
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    completion = {"id": ID, "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
    return await _send_json(completion, send)


async def _send_json(value: object, send: Send) -> None:
    body = encode(value)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_stream(model: str, texts: Iterable[str] | AsyncIterator[str], send: Send) -> None:
    async def send_chunk(delta: dict[str, str], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        chunk = {"id": ID, "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}
        await send({"type": "http.response.body", "body": b"data: %b\n\n" % encode(chunk), "more_body": True})

    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if isinstance(texts, AsyncIterator):
        async for text in texts:
            await send_chunk({"content": text})
    else:
        for text in texts:
            await send_chunk({"content": text})
    await send_chunk({}, "stop")
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
