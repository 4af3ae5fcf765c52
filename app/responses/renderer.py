"""Renderer of the Responses API."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from app.engine.answer import Answer
from app.engine.items import Item, ItemReader, is_response, is_response_event
from app.errors import CompletionError
from app.responses.events import REFUSAL, TEXT, Events
from app.responses.ids import new_item_id, new_response_id
from schemas.chat import ChatCompletionRequest, Json
from schemas.responses import InputTokensDetails, OutputTokensDetails, Response, ResponseRequest, ResponseUsage

ECHOED = {*ResponseRequest.__struct_fields__} & {*Response.__struct_fields__} - {"model", "store"}
ENDINGS = ("incomplete", "failed", "cancelled")  # statuses besides `completed`


class ResponseRenderer:
    """Renderer of a response, as one JSON object or as events.

    Args:
        asked: The request for the response.
        keep: Awaited with the response before the client gets the end of it, returns whether it is kept; None if not.
        request: The request that the service gets.
        reader: Reads the service's items.
    """

    last = b""  # the last event ends the stream: OpenAI sends no `[DONE]`

    def __init__(
        self,
        asked: ResponseRequest,
        keep: Callable[[Response], Awaitable[bool]] | None,
        request: ChatCompletionRequest,
        reader: ItemReader,
    ) -> None:
        self.answer = Answer(request.model, reader, id=new_response_id())
        echoed = {name: value for name in ECHOED if (value := getattr(asked, name)) is not None and value is not UNSET}
        text = {name: value for name, value in echoed.pop("text", {}).items() if value is not None}
        response = Response(
            id=self.answer.id,
            created_at=self.answer.created,
            status="in_progress",
            model=request.model,
            store=keep is not None,
            text={"format": {"type": "text"}} | text,
            **echoed,
        )
        self._events = Events(response)
        self._keep = keep
        self._finish_reason: str | None = None  # given by an event of the service's own

    def write(self, items: Sequence[Item], frames: list[bytes] | None) -> None:
        """Append the events of some items."""
        self._events.frames = frames
        for item in items:
            if (native := _native_events(item)) is not None:
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
        self._events.complete(self.answer.finish_reasons[0], _response_usage(self.answer.reported_usage))
        if self._keep is not None:
            self._events.response.store = await self._keep(self._events.response)
        self._events.send_end()

    def fail(self, error: CompletionError) -> bytes:
        """Return the event of a failed response."""
        self._events.frames = frames = list[bytes]()
        self._events.fail(error)
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
                raise _failure(error)
            case {"type": "response.failed" | "response.cancelled", **fields}:
                raise _failure((fields.get("response") or {}).get("error") or {})
            case {"type": "response.completed" | "response.incomplete", "response": response}:
                if usage := _chat_usage(response.get("usage")):
                    self.answer.add_usage(usage)
                reason = (response.get("incomplete_details") or {}).get("reason")
                self._finish_reason = "length" if reason == "max_output_tokens" else reason
            case _:
                self._events.add_native(event)


def _failure(error: Json) -> CompletionError:
    return CompletionError(error.get("message") or "The model failed to respond.", code=error.get("code"))


def _native_events(item: Item) -> list[Json] | None:
    """Return the events that an item is or stands for, or None if it is something else."""
    if type(item) is str:
        return None
    if is_response_event(item):
        return [_to_dict(item)]
    return list(_events_of(_to_dict(item))) if is_response(item) else None


def _events_of(response: Json) -> Iterator[Json]:
    for item in response["output"]:
        item = item if item.get("id") else item | {"id": new_item_id(item["type"])}
        is_message = item["type"] == "message"
        begun = {"status": "in_progress", "content": []} if is_message else {}
        yield {"type": "response.output_item.added", "item": item | begun}
        for index, part in enumerate(item["content"] if is_message else ()):
            place = {"item_id": item["id"], "content_index": index}
            kind = REFUSAL if part["type"] == "refusal" else TEXT
            yield {"type": "response.content_part.added", **place, "part": part | {kind.field: ""}}
            yield {"type": f"response.{kind.event}.delta", **place, "delta": part[kind.field], **kind.more}
            yield {"type": f"response.{kind.event}.done", **place, kind.field: part[kind.field], **kind.more}
            yield {"type": "response.content_part.done", **place, "part": part}
        yield {"type": "response.output_item.done", "item": item}
    status = response.get("status")
    yield {"type": f"response.{status if status in ENDINGS else 'completed'}", "response": response}


def _to_dict(value: Any) -> Json:
    if isinstance(value, Response):
        value = msgspec.to_builtins(value)
    elif not isinstance(value, dict):  # an object of the `openai` package
        value = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    fields: Json = value
    return fields


def _chat_usage(usage: Json | None) -> Json | None:
    """Return the usage of a response under the names of a chat, which the engine counts."""
    return usage and {
        "prompt_tokens": usage.get("input_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
        "completion_tokens": usage.get("output_tokens"),
        "completion_tokens_details": usage.get("output_tokens_details"),
        "total_tokens": usage.get("total_tokens"),
    }


def _response_usage(usage: object) -> ResponseUsage | None:
    """Return the usage of a chat under the names of a response; None unless the service reported any."""
    if not isinstance(usage, dict):
        return None
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
