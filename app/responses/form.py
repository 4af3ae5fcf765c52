"""The form of a response: what a completion is to who asks by the Responses API."""

from collections.abc import Awaitable, Callable, Sequence

from msgspec import UNSET

from app.engine.chunks import Chunks, Head
from app.engine.results import Item, ItemReader
from app.errors import CompletionError
from app.responses.events import Events
from app.responses.ids import new_response_id
from app.responses.own import own_events
from app.responses.usage import chat_usage
from schemas.chat import ChatCompletionRequest, Json
from schemas.responses import Response, ResponseRequest

__all__ = ["ResponseForm"]

ECHOED = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "reasoning",
    "service_tier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "user",
)


class ResponseForm:
    """A response, or the events of one.

    Args:
        asked: the request for it.
        keep: is awaited with the response before its client gets the end of it; None if it is not kept.
        request: what the service is asked with.
        reader: what reads the items.
    """

    last = b""  # OpenAI's stream of events has no `[DONE]`: the last event says it

    def __init__(
        self,
        asked: ResponseRequest,
        keep: Callable[[Response], Awaitable[None]] | None,
        request: ChatCompletionRequest,
        reader: ItemReader,
    ) -> None:
        head = _Head(request.model, id=new_response_id())
        echoed = {name: value for name in ECHOED if (value := getattr(asked, name)) is not None and value is not UNSET}
        response = Response(
            id=head.id,
            created_at=head.created,
            status="in_progress",
            model=head.model,
            store=keep is not None,
            **_with_defaults(echoed),
        )
        self.chunks = Chunks(head, reader, include_usage=False)
        self._events = Events(response)
        self._keep = keep
        self._cut_off: str | None = None  # the finish reason that an event of the service's own has told

    def write(self, items: Sequence[Item], frames: list[bytes] | None) -> None:
        """One event or more for each chunk."""
        self._events.frames = frames
        for item in items:
            if (own := own_events(item)) is not None:
                for event in own:
                    self._pass_on(event)
            else:
                for chunk in self.chunks.read((item,)):
                    self._events.add(chunk)

    async def finish(self, frames: list[bytes] | None) -> None:
        """What ends the items, and the whole response."""
        self._events.frames = frames
        for chunk in self.chunks.finish():
            self._events.add(chunk)
        if self._cut_off is not None:
            self.chunks.finish_reasons = [self._cut_off]
        self._events.complete(self.chunks.finish_reasons[0], self.chunks.usage)
        if self._keep is not None:
            await self._keep(self._events.response)

    def fail(self, error: CompletionError) -> bytes:
        """The response as a failed one."""
        self._events.frames = frames = list[bytes]()
        self._events.fail(error)
        return b"".join(frames)

    def add(self, items: Sequence[Item]) -> None:
        """Likewise, with no events."""
        self.write(items, None)

    async def whole(self) -> Response:
        """The response."""
        await self.finish(None)
        return self._events.response

    def _pass_on(self, event: Json) -> None:
        """An event of the service's own; those of the whole response are told by ours.

        Raises:
            CompletionError: the response has failed.
        """
        match event:
            case {"type": "response.created" | "response.in_progress" | "response.queued"}:
                self._events.begin()
            case {"type": "error", **error}:
                raise _failure(error)
            case {"type": "response.failed" | "response.cancelled", **rest}:
                raise _failure((rest.get("response") or {}).get("error") or {})
            case {"type": "response.completed" | "response.incomplete", "response": response}:
                self.chunks.usage = chat_usage(response.get("usage")) or self.chunks.usage
                reason = (response.get("incomplete_details") or {}).get("reason")
                self._cut_off = "length" if reason == "max_output_tokens" else reason
            case _:
                self._events.pass_on(event)


class _Head(Head):
    """What a response has of its own, whatever chunks carry: it is kept by its id."""

    def adopt(self, source: Json) -> None:
        """Take over nothing."""


def _with_defaults(echoed: Json) -> Json:
    """OpenAI's form of the text is always there."""
    text = {name: value for name, value in echoed.get("text", {}).items() if value is not None}
    return echoed | {"text": {"format": {"type": "text"}} | text}


def _failure(error: Json) -> CompletionError:
    """The error that a service tells of in an event of its own."""
    return CompletionError(error.get("message") or "The model failed to respond.", code=error.get("code"))
