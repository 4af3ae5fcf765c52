"""Renderer of the Responses API."""

from collections.abc import Awaitable, Callable, Sequence
from time import time
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from app.engine.answer import NO_USAGE, Answer
from app.engine.frames import DONE
from app.engine.items import Item, ItemReader
from app.errors import CompletionError
from app.responses.events import Events
from app.responses.ids import new_response_id
from app.responses.native import events_of_item, failure_of, native_events
from app.responses.request import LOGPROBS, echo_of, namespaces_of
from schemas.chat import ChatCompletionRequest, Json
from schemas.responses import InputTokensDetails, OutputTokensDetails, Response, ResponseRequest, ResponseUsage

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
        self._events = Events(
            response,
            summarizes=bool(response.reasoning["summary"]),
            has_logprobs=LOGPROBS in (asked.include or ()),
            namespaces=namespaces_of(response.tools),
        )
        self._keep = keep
        self._finish_reason: str | None = None  # given by an event of the service's own

    def write(self, items: Sequence[Item], frames: list[bytes] | None) -> None:
        """Append the events of some items."""
        self._events.frames = frames
        for item in items:
            if type(item) is str and self._events.continue_text(item):  # as most are
                continue
            if (native := native_events(item)) is not None:
                for event in native:
                    self._add_native(event)
                continue
            for part in self.answer.read(item):
                self._events.add(part)

    async def finish(self, frames: list[bytes] | None) -> None:
        """Append the events that end the items and the response, and keep the response."""
        self._events.frames = frames
        for part in self.answer.finish():
            self._events.add(part)
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

    def _add_native(self, event: Json) -> None:
        """Add an event of the service's own, or raise the error that it holds.

        The server itself sends the events that begin and end a response.
        """
        match event:
            case {"type": "response.created" | "response.in_progress" | "response.queued"}:
                self._events.begin()
            case {"type": "error", **error}:
                raise failure_of(error)
            case {"type": "response.failed" | "response.cancelled", **fields}:
                raise failure_of((fields.get("response") or {}).get("error") or {})
            case {"type": "response.completed" | "response.incomplete", "response": response}:
                missing = [item for item in response.get("output") or () if not self._events.knows(item)]
                for each in (event for item in missing for event in events_of_item(item)):
                    self._events.add_native(each)
                if usage := _chat_usage(response.get("usage")):
                    self.answer.add_usage(usage)
                reason = (response.get("incomplete_details") or {}).get("reason")
                self._finish_reason = "length" if reason == "max_output_tokens" else reason
            case _:
                self._events.add_native(event)


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
    begun: Json = {
        "output": [],
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
    }
    events = Events(msgspec.convert(kept | begun, Response))
    events.frames = frames = list[bytes]()
    events.begin()
    for item in kept["output"]:
        for event in events_of_item(item):
            events.add_native(event)
    events.end_as(kept)
    return [*frames[after + 1 : -1], frames[-1], DONE]


def _chat_usage(usage: Json | None) -> Json | None:
    """Return the usage of a response under the names of a chat, which the engine counts."""
    return usage and {
        "prompt_tokens": usage.get("input_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
        "completion_tokens": usage.get("output_tokens"),
        "completion_tokens_details": usage.get("output_tokens_details"),
        "total_tokens": usage.get("total_tokens"),
    }


def response_usage(usage: Json) -> ResponseUsage:
    """Return the usage of a chat under the names of a response."""
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    of_prompt, of_completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return ResponseUsage(
        input_tokens=prompt,
        input_tokens_details=InputTokensDetails(
            cached_tokens=_count(of_prompt, "cached_tokens"),
            cache_write_tokens=_count(of_prompt, "cache_write_tokens"),
        ),
        output_tokens=completion,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=_count(of_completion, "reasoning_tokens")),
        total_tokens=_count(usage, "total_tokens") or prompt + completion,
    )


def _count(usage: object, name: str) -> int:
    """Return a number of tokens, 0 where the service reported something else."""
    tokens = usage.get(name) if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) else 0
