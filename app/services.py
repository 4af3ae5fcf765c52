"""What plugs into the server: two services and the hooks. Any class with the right methods will do.

They reach the controller by dependency injection, under the names `completion_service`,
`model_service` and `hooks`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

from schemas.chat import ChatCompletionRequest, RequestMessage
from schemas.models import Model

__all__ = ["Body", "ChunkMapper", "CompletionService", "Hooks", "Messages", "ModelService", "PostHook", "PreHook"]

Messages: TypeAlias = list[RequestMessage]
Body: TypeAlias = dict[str, Any]
PreHook: TypeAlias = Callable[
    [ChatCompletionRequest], ChatCompletionRequest | Awaitable[ChatCompletionRequest | None] | None
]
PostHook: TypeAlias = Callable[[Any], Any]
ChunkMapper: TypeAlias = Callable[[Any], str]


@runtime_checkable
class CompletionService(Protocol):
    """Answers chats. `complete` may be sync or async, a plain function or a generator."""

    def complete(self, model: str, messages: Messages, body: Body) -> Any:
        """Answer the messages; name a parameter `headers` too to get the request's.

        Args:
            model: the model asked for; the model service has listed it.
            messages: the conversation, as the client sent it.
            body: the whole request, as the client sent it.

        Returns:
            A `str`, a `ChatCompletion` or `dict` of that shape, a Haystack `ChatMessage`, or a sync
            or async iterator of items: see `app.engine.chunks`.
        """
        ...


@runtime_checkable
class ModelService(Protocol):
    """Knows which models there are."""

    def list_models(self) -> Sequence[str | Model] | Awaitable[Sequence[str | Model]]:
        """The models, by name or in full; sync or async."""
        ...


class Hooks(Struct, frozen=True, kw_only=True):
    """What is done around a service; each hook may be sync or async.

    Args:
        pre_hook: gets the request before the service; what it returns, unless None, replaces it.
        post_hook: gets the service's result, before it is iterated; likewise.
        chunk_mapper: the text of an item that the server does not know. Runs on the event loop.
    """

    pre_hook: PreHook | None = None
    post_hook: PostHook | None = None
    chunk_mapper: ChunkMapper | None = None
