"""What is known of a completion from outside: how long, how much, and how it ended."""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct, field

from app.errors import ClientDisconnectedError, CompletionError, CompletionTimeoutError, OverloadedError

__all__ = ["Ending", "Observer", "Record", "current_request_id"]

logger = logging.getLogger("app.engine")

current_request_id: ContextVar[str] = ContextVar("request_id", default="-")  # set by whatever serves the request

Ending: TypeAlias = Literal["done", "client_left", "error", "timeout", "rejected"]


class Observer(Protocol):
    """Is told of every completion, on the event loop; what it raises is logged and changes nothing."""

    def started(self, record: "Record") -> None:
        """A model is about to be asked; what the observer sets in the context, the model's code sees."""
        ...

    def sent(self, record: "Record") -> None:
        """Chunks of a stream are on their way: those that waited together, in one write."""
        ...

    def ended(self, record: "Record") -> None:
        """A completion has ended. This alone is told of one that was refused before any model was asked."""
        ...


class Record(Struct, eq=False, weakref=True, kw_only=True):
    """A completion, as far as it has come. Times are in seconds.

    Args:
        model: the model, which is listed; None if the request was refused before that was known.
        stream: whether the client wants it piece by piece.
        observers: who is told.
        started_at: when it was asked for, by the performance counter.
        request_id: the id of its request.
        first_chunk: the time from there to the first write of a stream.
        gap: the time between the last two writes of a stream: a slow client lengthens it.
        chunks: how many a stream has sent.
        prompt_tokens: as the model reported them.
        completion_tokens: likewise.
        id: of the completion, as the client sees it.
        response_model: the model that the answer names.
        finish_reasons: of each of its choices, if it has come to its end.
        ended: how it ended.
        error: what names the error it ended by, e.g. `overloaded`.
    """

    model: str | None = None
    stream: bool = False
    observers: tuple[Observer, ...] = ()
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
        """Tell that it starts."""
        for observer in self.observers:
            _tell(observer.started, self)

    def add(self, chunks: int) -> None:
        """Note that chunks go out in one write."""
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
            _tell(observer.sent, self)

    def add_usage(self, usage: object) -> None:
        """Note the tokens that the model reported."""
        if isinstance(usage, dict):
            self.prompt_tokens = _count(usage.get("prompt_tokens"))
            self.completion_tokens = _count(usage.get("completion_tokens"))

    def end(self, error: Exception | None, *, stopped: bool = False) -> None:
        """Note how it ended, and tell.

        Args:
            error: by which error, if by one.
            stopped: whether the model was at work until it was stopped.
        """
        self.ended = self.ended or _ending(error, began=stopped or self.first_chunk is not None)
        if error is not None and self.ended != "client_left":
            self.error = (error.code or error.type) if isinstance(error, CompletionError) else "server_error"
        for observer in self.observers:
            _tell(observer.ended, self)


def _tell(what: Callable[[Record], None], record: Record) -> None:
    try:
        what(record)
    except Exception:
        logger.exception("An observer failed")


def _count(tokens: object) -> int | None:
    """A number of tokens, unless the model reported something else."""
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
