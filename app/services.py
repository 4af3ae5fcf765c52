"""The interfaces that plug into the server: two services and the hooks.

Any class with the right methods will do; there is nothing to inherit. They reach the controllers by dependency
injection, under the names `completion_service`, `model_service` and `hooks`, by default those of
`app/web/dependencies.py`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

from schemas.chat import ChatCompletionRequest, RequestMessage
from schemas.models import Model

__all__ = [
    "Body",
    "ChunkMapper",
    "CompletionService",
    "Hooks",
    "Messages",
    "ModelService",
    "PostHook",
    "PreHook",
    "Services",
    "last_text",
]

Messages: TypeAlias = list[RequestMessage]
Body: TypeAlias = dict[str, Any]
PreHook: TypeAlias = Callable[
    [ChatCompletionRequest], ChatCompletionRequest | Awaitable[ChatCompletionRequest | None] | None
]
PostHook: TypeAlias = Callable[[Any], Any]
ChunkMapper: TypeAlias = Callable[[Any], str | Awaitable[str | None] | None]


@runtime_checkable
class CompletionService(Protocol):
    """A service that answers chats. `complete` may be sync or async, a plain function or a generator."""

    def complete(self, model: str, messages: Messages, body: Body) -> Any:
        """Answer the messages. A parameter named `headers` receives the headers of the request too.

        Args:
            model: The model asked for; the model service has listed it.
            messages: The conversation, as the client sent it.
            body: The whole request, as the client sent it.

        Returns:
            A `str`, a `ChatCompletion` or `dict` of that shape, a Haystack `ChatMessage`, or a sync or async iterator
            of items: see `app/engine/results.py`.
        """
        ...


@runtime_checkable
class ModelService(Protocol):
    """A service that lists the models."""

    def list_models(self) -> Sequence[str | Model] | Awaitable[Sequence[str | Model]]:
        """Return the models, by name or in full; sync or async."""
        ...


class Hooks(Struct, frozen=True, kw_only=True):
    """Functions called around a service, whichever model is asked.

    Args:
        pre_hook: Called with the request before the service, sync or async; what it returns, unless None, replaces
            the request.
        post_hook: Called with the service's result before it is iterated, sync or async; what it returns, unless None,
            replaces the result.
        chunk_mapper: Returns the text of an item of a type that the server does not know, or None for none. It may be
            async; it runs on the event loop.
    """

    pre_hook: PreHook | None = None
    post_hook: PostHook | None = None
    chunk_mapper: ChunkMapper | None = None


class Services(Struct, frozen=True):
    """The services and hooks that answer a request, and its operation, as OpenTelemetry names it."""

    completions: CompletionService
    models: ModelService
    hooks: Hooks
    operation: str = "chat"


def last_text(messages: Messages) -> str:
    """Return the text of the last message, whether it was sent as a string or in parts."""
    content = messages[-1].get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(str(part["text"]) for part in content if "text" in part)
