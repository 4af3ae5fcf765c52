"""Kept responses, for the key that asked for them and for a limited time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from litestar.stores.base import Store
from msgspec import Struct

from app.engine.frames import encode
from app.errors import CompletionError, InvalidRequestError, OverloadedError
from app.responses.ids import response_id_of
from schemas.chat import Json
from schemas.responses import Response, ResponseItemList

logger = logging.getLogger("app.responses")

MAX_ECHO = 100  # characters of an id that an error repeats


class KeptResponse(Struct):
    """A response, and the items it was made from, those of earlier responses included."""

    response: Json
    input: list[Json]

    @property
    def conversation(self) -> list[Json]:
        """The items up to the end of the response."""
        return [*self.input, *self.response["output"]]

    def page(self, *, limit: int, newest_first: bool, after: str) -> ResponseItemList:
        """Return a page of the items it was made from, beginning after the item with the id `after`, if given."""
        items = self.input[::-1] if newest_first else self.input
        if after:
            ids = [item["id"] for item in items]
            if after not in ids:
                raise InvalidRequestError(f"There is no item with id '{after[:MAX_ECHO]}'.", param="after")
            items = items[ids.index(after) + 1 :]
        page = items[:limit]
        first_id, last_id = (page[0]["id"], page[-1]["id"]) if page else (None, None)
        return ResponseItemList(data=page, first_id=first_id, last_id=last_id, has_more=len(items) > limit)


class KeptResponses:
    """The kept responses of one caller.

    Where a method raises a CompletionError, there is no such response (404) or the store fails (503).

    Args:
        store: The store of all callers.
        owner: The id of the caller's key; None where there are no keys.
        expire: Seconds until a response is forgotten; 0 is never.
    """

    def __init__(self, store: Store, owner: str | None, expire: int) -> None:
        self._store = store
        self._prefix = f"{owner or 'all'}:"
        self._expire = expire or None

    async def get(self, response_id: str) -> KeptResponse:
        """Return a response, or raise a CompletionError."""
        if (kept := await self._find(response_id)) is None:
            raise CompletionError(f"Response with id '{response_id[:MAX_ECHO]}' not found.", status=404)
        return kept

    async def history(self, previous_response_id: str) -> list[Json]:
        """Return the conversation up to the end of a response, or raise a CompletionError."""
        if (kept := await self._find(previous_response_id)) is None:
            raise CompletionError(
                f"Previous response with id '{previous_response_id[:MAX_ECHO]}' not found.",
                status=404,
                code="previous_response_not_found",
                param="previous_response_id",
            )
        return kept.conversation

    async def keep(self, items: list[Json], response: Response) -> None:
        """Keep a response and the items it was made from. A failure is only logged: the client gets its response."""
        data = encode({"response": response, "input": items})
        try:
            await self._store.set(self._prefix + response.id, data, expires_in=self._expire)
        except Exception:
            logger.exception("A response could not be kept")

    async def delete(self, response_id: str) -> None:
        """Delete a response, or raise a CompletionError."""
        await self.get(response_id)
        with _store_errors():
            await self._store.delete(self._prefix + response_id)

    async def resolve(self, items: list[Json], history: list[Json]) -> list[Json]:
        """Return the items that follow `history`, each reference replaced by the kept item that it names."""
        seen = {item["id"] for item in history}
        known: dict[str, Json] = {}
        resolved = []
        for item in items:
            if (item_id := item["id"]) in seen:
                message = f"The item with id '{item_id[:MAX_ECHO]}' is there twice. Send it once."
                raise InvalidRequestError(message, param="input")
            seen.add(item_id)
            if item.get("type") == "item_reference":
                if item_id not in known and (kept := await self._find(response_id_of(item_id))):
                    known |= {each["id"]: each for each in kept.conversation}
                if item_id not in known:
                    message = (
                        f"Item with id '{item_id[:MAX_ECHO]}' not found. Items are not kept when 'store' is false."
                    )
                    raise InvalidRequestError(message, param="input", status=404)
                item = known[item_id]
            resolved.append(item)
        return resolved

    async def _find(self, response_id: str) -> KeptResponse | None:
        with _store_errors():
            data = await self._store.get(self._prefix + response_id)
        return None if data is None else msgspec.json.decode(data, type=KeptResponse)


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.exception("The store of responses failed")
        raise OverloadedError("The responses that were kept cannot be reached. Try again in a moment.") from None
