"""Renderer of the Responses API."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import groupby
from time import time
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from app.engine.answer import NO_USAGE, Answer
from app.engine.frames import DONE
from app.engine.items import Item, ItemReader, is_response, is_response_event, set_fields, upstream_error
from app.engine.parts import ChoiceDelta, ChunkFields
from app.errors import CompletionError
from app.responses.deltas import Deltas
from app.responses.events import Events
from app.responses.ids import new_response_id
from app.responses.items import copy_of
from app.responses.native import NativeItems
from app.responses.request import echo_of
from schemas.chat import ChatCompletionRequest, Json
from schemas.responses import Response, ResponseRequest, ResponseUsage

USAGE_NAMES = {  # of numbers of tokens in a response, by their names in a chat
    "prompt_tokens": "input_tokens",
    "prompt_tokens_details": "input_tokens_details",
    "completion_tokens": "output_tokens",
    "completion_tokens_details": "output_tokens_details",
    "total_tokens": "total_tokens",
}
BEGINNINGS = ("response.created", "response.in_progress", "response.queued")
ENDINGS = ("incomplete", "failed", "cancelled")  # statuses besides `completed`

Keep: TypeAlias = Callable[[Response], Awaitable[bool]]


def new_response(asked: ResponseRequest, *, store: bool) -> Response:
    """Return the response to a request, without output."""
    usage = response_usage(NO_USAGE)
    return Response(
        id=new_response_id(),
        created_at=int(time()),
        status="in_progress",
        model=asked.model,
        store=store,
        usage=usage,
        **echo_of(asked),
    )


class ResponseRenderer:
    """Renderer of a response, as one JSON object or as events.

    Args:
        asked: The request for the response.
        response: The response, without output.
        keep: Awaited with the response before the client gets the end of it; returns whether it is stored.
        request: The request that the service gets.
        reader: Reads the service's items.
    """

    last = DONE

    def __init__(
        self,
        asked: ResponseRequest,
        response: Response,
        keep: Keep,
        request: ChatCompletionRequest,
        reader: ItemReader,
    ) -> None:
        self.answer = Answer(request.model, reader, id=response.id)
        response = replace(response, model=request.model, output=[])
        self._events = Events(response)
        self._deltas = Deltas(self._events, asked)
        self._native_items = NativeItems(self._events)
        self._keep = keep
        self._finish_reason: str | None = None  # given by an event of the service's own

    def write(self, items: Sequence[Any], frames: list[bytes] | None) -> None:
        """Append the events of some items."""
        self._events.frames = frames
        for kind, group in groupby(items, type):
            for item in group:
                if not (kind is str and self._deltas.continue_text(item, group)):  # noqa: B031 - which then ends
                    self._add(item)

    async def finish(self, frames: list[bytes] | None) -> None:
        """Append the events that end the items and the response, and keep the response."""
        self._events.frames = frames
        self._add_parts(self.answer.finish())
        if self._finish_reason is not None:
            self.answer.finish_reasons = [self._finish_reason]
        self._events.complete(self.answer.finish_reasons[0], response_usage(self.answer.usage))
        self._events.response.store = await self._keep(self._events.response)
        self._events.send_end()

    async def fail(self, error: CompletionError) -> bytes:
        """Return the event of a failed response, and keep the response."""
        self._events.frames = frames = list[bytes]()
        self._events.fail(error)
        await self._keep(self._events.response)
        return b"".join(frames)

    async def whole(self, items: Sequence[Item]) -> Response:
        """Return the response, and keep it."""
        self.write(items, None)
        await self.finish(None)
        return self._events.response

    def _add(self, item: Any) -> None:
        if type(item) is str or not (is_response(item) or is_response_event(item)):
            self._add_parts(self.answer.read(item))
            return
        if not isinstance(item, dict | Response):  # but an object of the `openai` package
            item = item.model_dump(mode="json", by_alias=True, exclude_unset=True)
        self._add_native(copy_of(item))

    def _add_parts(self, parts: Iterable[str | ChoiceDelta | ChunkFields]) -> None:
        for part in parts:
            self._events.begin()
            self._deltas.add(part)

    def _add_native(self, event: Json) -> None:
        """Add a response or an event of the service's own, or raise the error that it holds.

        The server itself sends the events that begin and end a response.
        """
        response = event.get("response") or {}
        match event:
            case {"type": "error"}:
                raise _failure(event)
            case {"type": "response.failed" | "response.cancelled"}:
                raise _failure(response.get("error") or {})
        self._events.begin()
        match event:
            case {"object": "response", "output": output, **rest}:
                for item in output:
                    self._native_items.add(item)
                status = rest.get("status") if rest.get("status") in ENDINGS else "completed"
                self._add_native({"type": f"response.{status}", "response": rest})
            case {"type": "response.completed" | "response.incomplete"}:
                self._native_items.add_missing(response.get("output") or ())
                usage = response.get("usage") or {}
                self.answer.add_usage({name: usage.get(theirs) for name, theirs in USAGE_NAMES.items()})
                reason = (response.get("incomplete_details") or {}).get("reason")
                self._finish_reason = "length" if reason == "max_output_tokens" else reason
            case {"type": str(type)} if type not in BEGINNINGS:
                self._native_items.add_event(event)


async def warmed_up(response: Response, keep: Keep) -> list[bytes]:
    """Return the events of a response that no model is asked for, and keep it, so that it can be continued."""
    events = Events(response)
    events.frames = frames = list[bytes]()
    events.complete("stop", response_usage(NO_USAGE))
    response.store = await keep(response)
    events.send_end()
    return [*frames, DONE]


def replay(response: bytes, after: int) -> list[bytes]:
    """Return the events of a kept response whose numbers are greater than `after`, and always the last."""
    kept: Json = msgspec.json.decode(response)
    begun: Json = dict.fromkeys(("completed_at", "error", "incomplete_details"))
    events = Events(msgspec.convert(kept | begun | {"output": [], "status": "in_progress"}, Response))
    events.frames = frames = list[bytes]()
    events.begin()
    items = NativeItems(events)
    for item in kept["output"]:
        items.add(item)
    events.send({"type": f"response.{kept['status']}", "response": kept})
    return [*frames[after + 1 : -1], frames[-1], DONE]


def response_usage(usage: Json) -> ResponseUsage:
    """Return the usage of a chat under the names of a response."""
    named = {
        theirs: _details(usage.get(name)) if name.endswith("details") else usage[name]
        for name, theirs in USAGE_NAMES.items()
    }
    return msgspec.convert(named, ResponseUsage)


def _details(details: object) -> Json:
    """Return the numbers in what a service reports, which may be anything."""
    return {name: n for name, n in details.items() if type(n) is int} if isinstance(details, dict) else {}


def _failure(error: Json) -> CompletionError:
    return upstream_error({"message": "The model failed to respond."} | set_fields(error, ("type",)))
