"""All that the author of a model imports: what it gets, what it may return and yield, and what it may call."""

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Protocol, TypeAlias

from app.engine.results import CallbackStream, Sink
from app.engine.run import is_cancelled, run_sync
from app.errors import CompletionError
from app.services import Body, Messages, last_text
from schemas.chat import ChatCompletion, ChatCompletionChunk, Delta, Json, Usage

__all__ = ["Body", "CallbackStream", "ChatCompletion", "ChatCompletionChunk", "CompletionError", "Delta", "Headers"]
__all__ += ["Item", "Messages", "ModelFunction", "Result", "Sink", "Usage", "is_cancelled", "last_text", "run_sync"]


class _ChatMessage(Protocol):  # Haystack's
    @property
    def text(self) -> str | None: ...


class _OpenAIObject(Protocol):  # a completion of the `openai` package, or a response
    @property
    def object(self) -> str: ...


class _Event(Protocol):
    def to_event_dict(self) -> Json: ...


Headers: TypeAlias = Mapping[str, str]
Whole: TypeAlias = str | ChatCompletion | Json | _ChatMessage | _OpenAIObject
Result: TypeAlias = Whole | CallbackStream | Iterable[object] | AsyncIterable[object]  # what a model may return
Item: TypeAlias = Whole | Delta | Usage | ChatCompletionChunk | _Event  # what it may yield, beside chunks of its own


class _WithHeaders(Protocol):
    def __call__(
        self, model: str, messages: Messages, body: Body, /, *, headers: Headers
    ) -> Result | Awaitable[Result]: ...


ModelFunction: TypeAlias = Callable[[str, Messages, Body], Result | Awaitable[Result]] | _WithHeaders
