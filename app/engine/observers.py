"""The record of a completion, and the interface of observers that are notified of it."""

import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct, field

from app.errors import ClientDisconnectedError, CompletionError, CompletionTimeoutError, OverloadedError
from schemas.chat import Json

__all__ = ["Ending", "Observer", "Record"]

logger = logging.getLogger("app.completions")

Ending: TypeAlias = Literal["done", "client_left", "error", "timeout", "rejected"]


class Observer(Protocol):
    """An object that is notified of every completion, on the event loop; what it raises is only logged."""

    def started(self, record: "Record") -> None:
        """Handle the start of a completion; the model's code sees the context variables that are set here."""
        ...

    def sent(self, record: "Record") -> None:
        """Handle a write of one or more chunks of a stream."""
        ...

    def ended(self, record: "Record") -> None:
        """Handle the end of a completion; the only call for a request that was refused before a model was asked."""
        ...


class Record(Struct, eq=False, weakref=True, kw_only=True):
    """The figures of a completion, as far as they are known; times in seconds."""

    operation: str = "chat"
    model: str | None = None  # none if the request was refused before a model was asked
    stream: bool = False
    observers: Sequence[Observer] = ()
    started_at: float = field(default_factory=perf_counter)
    first_chunk: float | None = None  # time from the start to the first write of a stream
    gap: float | None = None  # time between the last two writes; a slow client lengthens it
    chunks: int = 0  # of a stream, as far as sent
    prompt_tokens: int | None = None  # as the model reported them
    completion_tokens: int | None = None
    id: str | None = None  # of the answer
    response_model: str | None = None  # the model that the answer names
    finish_reasons: list[str] = []  # of each choice
    ended: Ending | None = None
    error: str | None = None  # code or type of the error by which it ended
    _sent_at: float = 0

    def start(self, model: str) -> None:
        """Notify the observers that a model is asked."""
        self.model = model
        for observer in self.observers:
            _notify(observer.started, self)

    def add(self, chunks: int) -> None:
        """Record a write of some chunks."""
        self.chunks += chunks
        if self.first_chunk is not None and not self.observers:
            return
        now = perf_counter()
        if self.first_chunk is None:
            self.first_chunk = now - self.started_at
        else:
            self.gap = now - self._sent_at
        self._sent_at = now
        for observer in self.observers:
            _notify(observer.sent, self)

    def add_usage(self, usage: Json) -> None:
        """Record the tokens that the model reported, in OpenAI's form."""
        self.prompt_tokens, self.completion_tokens = usage["prompt_tokens"], usage["completion_tokens"]

    def end(self, error: Exception | None, *, stopped: bool = False) -> None:
        """Record the end, and notify the observers.

        Args:
            error: The error by which it ended, if any.
            stopped: Whether the model was running when it was stopped.
        """
        began = stopped or self.first_chunk is not None
        self.ended = self.ended or _ending(error, asked=self.model is not None, began=began)
        if error is not None and self.ended != "client_left":
            self.error = (error.code or error.type) if isinstance(error, CompletionError) else "server_error"
        for observer in self.observers:
            _notify(observer.ended, self)


def _notify(method: Callable[[Record], None], record: Record) -> None:
    try:
        method(record)
    except Exception:
        logger.exception("An observer failed")


def _ending(error: Exception | None, *, asked: bool, began: bool) -> Ending:
    match error:
        case None:
            return "done"
        case ClientDisconnectedError():
            return "client_left"
        case CompletionTimeoutError():
            return "timeout"
        case OverloadedError() if not began:
            return "rejected"
        case CompletionError() if not asked and error.status < 500:
            return "rejected"
        case _:
            return "error"
