"""The record of a completion, and the interface of observers that are notified of it."""

import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from time import perf_counter
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct, field

from app.errors import ClientDisconnectedError, CompletionError, CompletionTimeoutError, OverloadedError

__all__ = ["Ending", "Observer", "Record", "current_request_id"]

logger = logging.getLogger("app.completions")

current_request_id: ContextVar[str] = ContextVar("request_id", default="-")
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
    """The figures of a completion, as far as they are known. Times are in seconds.

    Args:
        model: The model; None if the request was refused before it was known to be listed.
        stream: Whether the client asked for a stream.
        observers: Are notified.
        started_at: The start, by the performance counter.
        request_id: The `x-request-id` of the request.
        first_chunk: The time from the start to the first write of a stream.
        gap: The time between the last two writes of a stream; a slow client lengthens it.
        chunks: The number of chunks that a stream has sent.
        prompt_tokens: As the model reported them.
        completion_tokens: As the model reported them.
        id: The id of the completion, as the client sees it.
        response_model: The model that the answer names.
        finish_reasons: The finish reason of each choice, at the end.
        ended: How it ended.
        error: The code or type of the error by which it ended, e.g. `overloaded`.
    """

    model: str | None = None
    stream: bool = False
    observers: Sequence[Observer] = ()
    started_at: float = field(default_factory=perf_counter)
    request_id: str = field(default_factory=current_request_id.get)
    first_chunk: float | None = None
    gap: float | None = None
    chunks: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    id: str | None = None
    response_model: str | None = None
    finish_reasons: list[str] = []
    ended: Ending | None = None
    error: str | None = None
    _sent_at: float = 0

    def start(self) -> None:
        """Notify the observers of the start."""
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

    def add_usage(self, usage: object) -> None:
        """Record the tokens that the model reported."""
        if isinstance(usage, dict):
            self.prompt_tokens = _count(usage.get("prompt_tokens"))
            self.completion_tokens = _count(usage.get("completion_tokens"))

    def end(self, error: Exception | None, *, stopped: bool = False) -> None:
        """Record the end, and notify the observers.

        Args:
            error: The error by which it ended, if any.
            stopped: Whether the model was running when it was stopped.
        """
        self.ended = self.ended or _ending(error, began=stopped or self.first_chunk is not None)
        if error is not None and self.ended != "client_left":
            self.error = (error.code or error.type) if isinstance(error, CompletionError) else "server_error"
        for observer in self.observers:
            _notify(observer.ended, self)


def _notify(method: Callable[[Record], None], record: Record) -> None:
    try:
        method(record)
    except Exception:
        logger.exception("An observer failed")


def _count(tokens: object) -> int | None:
    return tokens if isinstance(tokens, int) and tokens >= 0 else None


def _ending(error: Exception | None, *, began: bool) -> Ending:
    match error:
        case None:
            return "done"
        case ClientDisconnectedError():
            return "client_left"
        case CompletionTimeoutError():
            return "timeout"
        case OverloadedError() if not began:
            return "rejected"
        case _:
            return "error"
