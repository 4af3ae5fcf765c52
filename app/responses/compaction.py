"""Compaction of a conversation: the model sums it up, and an item that holds the summary stands for it."""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

from app.engine.chat import ChatRenderer
from app.engine.items import Item, ItemReader
from app.responses.ids import new_item_id, new_response_id
from app.responses.renderer import response_usage
from schemas.chat import ChatCompletionRequest, Json
from schemas.responses import CompactedResponse

PROMPT = (
    "Sum up this conversation for an assistant who will continue it without having seen it: what the user wants, what "
    "has been decided and done, the facts and the results of tools that are still needed, and what is to be done next."
)


def compaction_request(chat: Json) -> Json:
    """Return the body of a chat request for a summary of a chat."""
    return {"model": chat["model"], "messages": [*chat["messages"], {"role": "user", "content": PROMPT}]}


class CompactionRenderer(ChatRenderer):
    """Renders the summary of a conversation as a compacted conversation.

    Args:
        items: The items of the conversation.
        request: The request that the model gets.
        reader: Reads the model's items.
    """

    def __init__(self, items: Sequence[Json], request: ChatCompletionRequest, reader: ItemReader) -> None:
        super().__init__(request, reader)
        self._items = items

    async def whole(self, items: Sequence[Item]) -> Any:
        """Return the messages of the user, and the item that holds the summary."""
        completion = await super().whole(items)
        messages = [item for item in self._items if item["type"] == "message" and item.get("role") == "user"]
        summary = urlsafe_b64encode((completion["choices"][0]["message"].get("content") or "").encode()).decode()
        compaction = {"type": "compaction", "id": new_item_id("compaction"), "encrypted_content": summary}
        return CompactedResponse(
            id=new_response_id(),
            created_at=completion["created"],
            output=[*messages, compaction],
            usage=response_usage(completion["usage"]),
        )
