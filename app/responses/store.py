"""Responses that are kept: for the key that asked for them, and for some time."""

import logging
from typing import Any, TypeAlias

import msgspec
from litestar.stores.base import Store
from msgspec import Struct

from app.completions.wire import encode
from app.errors import CompletionError, InvalidRequestError, OverloadedError
from schemas.responses import Response, ResponseItemList

__all__ = ["ResponseNotFoundError", "Responses", "StoredResponse"]

Json: TypeAlias = dict[str, Any]

logger = logging.getLogger("app.responses")

HEX = 32  # digits of a response's id, which its items' ids have too


class ResponseNotFoundError(CompletionError):
    """No such response is kept for this caller: there never was, it has expired, or another key asked for it."""

    def __init__(self, response_id: str, *, previous: bool = False) -> None:
        name = response_id[:100]
        super().__init__(
            f"Previous response with id '{name}' not found." if previous else f"Response with id '{name}' not found.",
            status=404,
            code="previous_response_not_found" if previous else None,
            param="previous_response_id" if previous else None,
        )


class StoredResponse(Struct):
    """A response, and all items that it was made from: those of the responses before it too."""

    response: Json
    input: list[Json]

    @property
    def conversation(self) -> list[Json]:
        """The items up to its end."""
        return [*self.input, *self.response["output"]]

    def page(self, *, limit: int, newest_first: bool, after: str) -> ResponseItemList:
        """Some of the items that it was made from, beginning after the one of that id."""
        items = self.input[::-1] if newest_first else self.input
        ids = [item["id"] for item in items]
        begin = ids.index(after) + 1 if after in ids else 0
        page = items[begin : begin + limit]
        return ResponseItemList(
            data=page,
            first_id=page[0]["id"] if page else None,
            last_id=page[-1]["id"] if page else None,
            has_more=begin + limit < len(items),
        )


class Responses:
    """The responses of one caller.

    Args:
        store: where they are.
        owner: the id of the caller's key; None where there are no keys.
        expire: after how many seconds they are forgotten; 0 is never.
    """

    def __init__(self, store: Store, owner: str | None, expire: int) -> None:
        self._store = store
        self._prefix = f"{owner or 'all'}:"
        self._expire = expire or None

    async def get(self, response_id: str, *, previous: bool = False) -> StoredResponse:
        """A response; `previous` says in whose words it is missed.

        Raises:
            ResponseNotFoundError: it is not there.
            OverloadedError: the store cannot be reached.
        """
        try:
            found = await self._store.get(self._prefix + response_id)
        except Exception:
            logger.exception("The store of responses failed")
            raise OverloadedError("The responses that were kept cannot be reached. Try again in a moment.") from None
        if found is None:
            raise ResponseNotFoundError(response_id, previous=previous)
        return msgspec.json.decode(found, type=StoredResponse)

    async def history(self, previous_response_id: str) -> list[Json]:
        """The conversation that goes on from a response; none from "".

        Raises:
            ResponseNotFoundError: it is not there.
            OverloadedError: the store cannot be reached.
        """
        return (await self.get(previous_response_id, previous=True)).conversation if previous_response_id else []

    async def keep(self, items: list[Json], response: Response) -> None:
        """Keep a response and what it was made from. It goes out all the same if that fails."""
        stored = encode({"response": response, "input": items})
        try:
            await self._store.set(self._prefix + response.id, stored, expires_in=self._expire)
        except Exception:
            logger.exception("A response could not be kept")

    async def delete(self, response_id: str) -> None:
        """Forget a response.

        Raises:
            ResponseNotFoundError: it is not there.
            OverloadedError: the store cannot be reached.
        """
        await self.get(response_id)
        await self._store.delete(self._prefix + response_id)

    async def resolved(self, items: list[Json]) -> list[Json]:
        """The items, with what they refer to in the place of references.

        Raises:
            InvalidRequestError: a reference is to no item that is kept.
        """
        return [
            await self._referred(item, position) if item.get("type") == "item_reference" else item
            for position, item in enumerate(items)
        ]

    async def _referred(self, reference: Json, position: int) -> Json:
        item_id = reference["id"]
        try:
            response = await self.get(f"resp_{item_id.partition('_')[2][:HEX]}")
            return next(item for item in response.conversation if item["id"] == item_id)
        except (ResponseNotFoundError, StopIteration):
            message = f"Item with id '{item_id}' not found. Items are not kept when 'store' is false."
            raise InvalidRequestError(message, param=f"input[{position}]") from None
