"""Responses that are kept: for the key that asked for them, and for some time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import msgspec
from litestar.stores.base import Store
from msgspec import Struct

from app.engine.frames import encode
from app.errors import CompletionError, InvalidRequestError, OverloadedError
from app.responses.ids import response_id_of
from schemas.responses import Response, ResponseItemList

__all__ = ["ResponseNotFoundError", "Responses", "StoredResponse"]

Json: TypeAlias = dict[str, Any]

logger = logging.getLogger("app.responses")

NAMED = 100  # characters of an id that an error repeats


class ResponseNotFoundError(CompletionError):
    """No such response is kept for this caller: there never was, it has expired, or another key asked for it."""

    def __init__(self, response_id: str, *, previous: bool = False) -> None:
        name = response_id[:NAMED]
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
        """Some of the items that it was made from, beginning after the one of that id.

        Raises:
            InvalidRequestError: there is no such item.
        """
        items = self.input[::-1] if newest_first else self.input
        ids = [item["id"] for item in items]
        if after and after not in ids:
            raise InvalidRequestError(f"There is no item with id '{after[:NAMED]}'.", param="after")
        begin = ids.index(after) + 1 if after else 0
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
        with _reaching():
            found = await self._store.get(self._prefix + response_id)
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
        with _reaching():
            await self._store.delete(self._prefix + response_id)

    async def resolved(self, items: list[Json], history: list[Json]) -> list[Json]:
        """The items that follow a conversation, with what they refer to in the place of references.

        Raises:
            InvalidRequestError: a reference is to no item that is kept, or an item is there twice.
            OverloadedError: the store cannot be reached.
        """
        there = {item["id"] for item in history}
        kept: dict[str, Json] = {}
        resolved = []
        for item in items:
            if item["id"] in there:
                raise _duplicate(item["id"])
            there.add(item["id"])
            is_reference = item.get("type") == "item_reference"
            resolved.append(await self._referred(item["id"], kept) if is_reference else item)
        return resolved

    async def _referred(self, item_id: str, kept: dict[str, Json]) -> Json:
        """The item of that id; `kept` remembers those of the responses that were looked into."""
        if item_id not in kept:
            with suppress(ResponseNotFoundError):
                response = await self.get(response_id_of(item_id))
                kept |= {item["id"]: item for item in response.conversation}
        if item_id not in kept:
            raise _missing(item_id)
        return kept[item_id]


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.exception("The store of responses failed")
        raise OverloadedError("The responses that were kept cannot be reached. Try again in a moment.") from None


def _duplicate(item_id: str) -> InvalidRequestError:
    return InvalidRequestError(f"The item with id '{item_id[:NAMED]}' is there twice. Send it once.", param="input")


def _missing(item_id: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"Item with id '{item_id[:NAMED]}' not found. Items are not kept when 'store' is false.",
        param="input",
        status=404,
    )
