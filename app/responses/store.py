"""Kept responses, for the key that asked for them and for a limited time."""

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from app.engine.frames import encode
from app.errors import CompletionError, InvalidRequestError, clipped
from app.responses.entries import Entries
from app.responses.ids import response_id_of
from app.responses.progress import Progress
from app.settings import Settings
from schemas.chat import Json
from schemas.responses import Response, ResponseItemList, Status

logger = logging.getLogger("app.responses")


class KeptResponse(Struct, frozen=True, array_like=True):
    """A response, encoded; `length` counts the items of its input and its output.

    The input, of `input_size` bytes, is kept under a key of its own.
    """

    response: bytes
    length: int
    input_size: int

    @property
    def state(self) -> "ResponseState":
        """The state of the response."""
        return msgspec.json.decode(self.response, type=ResponseState)

    @property
    def output(self) -> list[Json]:
        """The items of the response."""
        return msgspec.json.decode(self.response, type=_Output).output


class ResponseState(Struct):
    """Whether a kept response has ended, and whether it was made in the background."""

    status: Status
    background: bool

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.status in ("queued", "in_progress")


class History(Struct, frozen=True):
    """The items of a conversation up to the end of a response, decoded and each encoded.

    Its size is in bytes, and includes the request that continues it.
    """

    items: list[Json] = []
    encoded: list[bytes] = []
    size: int = 0


class KeptResponses:
    """The kept responses of one caller.

    Where a method raises a CompletionError, there is no such response (404), the store fails (503), or a conversation
    is longer than a request may be (400).

    Args:
        entries: Those of the caller.
        connection: Those of a WebSocket, which remembers what is not to be stored.
        settings: How long a conversation may be.
    """

    def __init__(self, entries: Entries, connection: Entries | None, settings: Settings) -> None:
        self._entries = entries
        self._connection = connection
        self._settings = settings

    async def get(self, response_id: str) -> KeptResponse:
        """Return a response, or raise a CompletionError; it has failed if the process that ran it has gone."""
        # First, as a response that has ended is kept before its mark goes
        runs = await self.progress(response_id).runs()
        if (kept := await self._find(response_id)) is None:
            raise _not_found(response_id)
        if kept.state.runs and not runs:
            error = {"code": "server_error", "message": "The server stopped while it made this response."}
            response = msgspec.json.decode(kept.response) | {"status": "failed", "error": error}
            return replace(kept, response=encode(response))
        return kept

    def progress(self, response_id: str) -> Progress:
        """Return the progress of a response that runs in the background."""
        return Progress(self._entries, response_id)

    async def page(self, response_id: str, *, limit: int, newest_first: bool, after: str) -> ResponseItemList:
        """Return a page of the items a response was made from, beginning after the item with the id `after`, if given.

        Raises:
            CompletionError: There is no such response, or no such item.
        """
        if (items := await self._find_input(response_id)) is None:
            raise _not_found(response_id)
        if newest_first:
            items.reverse()
        start = _position(items, after) + 1 if after else 0
        page = items[start : start + limit]
        first_id, last_id = (_id_of(page[0]), _id_of(page[-1])) if page else (None, None)
        data: Any = [Raw(item) for item in page]
        return ResponseItemList(data=data, first_id=first_id, last_id=last_id, has_more=len(items) > start + limit)

    async def history(self, previous_response_id: str, items: int, size: int) -> History:
        """Return the conversation that a request of some items and bytes continues, or raise a CompletionError."""
        if (kept := await self._find(previous_response_id)) is not None:
            size += kept.input_size + len(kept.response)
            self.check_length(items + kept.length, size)
            if (encoded := await self._find_input(previous_response_id)) is not None:
                if kept.state.runs:
                    message = f"The response '{clipped(previous_response_id)}' has not ended yet."
                    raise InvalidRequestError(message, param="previous_response_id")
                output = kept.output
                earlier: list[Json] = msgspec.json.decode(b"[%b]" % b",".join(encoded))
                return History([*earlier, *output], [*encoded, *map(encode, output)], size)
        raise CompletionError(
            f"Previous response with id '{clipped(previous_response_id)}' not found.",
            status=400,
            code="previous_response_not_found",
            param="previous_response_id",
        )

    async def keep(self, history: History, items: Sequence[Json], response: Response) -> bool:
        """Keep a response and the items it was made from, and return whether it is stored.

        One that is not to be stored is kept for its connection.
        """
        entries, input_name = self._entries if response.store else self._connection, f"{response.id}:input"
        if entries is None:
            return False
        try:
            encoded = [*history.encoded, *map(encode, items)]
            kept = KeptResponse(encode(response), len(encoded) + len(response.output), sum(map(len, encoded)))
            await entries.set(input_name, msgspec.msgpack.encode(encoded))
            await entries.set(response.id, msgspec.msgpack.encode(kept))
            if await entries.exists(input_name):
                return response.store
            await entries.delete(response.id)  # there was no room for both
        except (CompletionError, ValueError) as error:
            logger.warning("A response could not be kept: %s", error)
        return False

    async def delete(self, response_id: str) -> None:
        """Delete a response, which ends if it runs, or raise a CompletionError."""
        state, progress = (await self.get(response_id)).state, self.progress(response_id)
        await self._entries.delete(response_id, f"{response_id}:input")
        if state.runs:
            await progress.cancel()
        elif state.background:
            await progress.clear()

    async def exists(self, response_id: str) -> bool:
        """Return whether a response is kept."""
        return await self._entries.exists(response_id)

    async def resolve(self, items: list[Json], history: History) -> list[Json]:
        """Return the items that follow `history`, each reference replaced by the output item that it names.

        The responses that are referred to count as bytes of the conversation, or a CompletionError is raised.
        """
        seen, size = {item["id"] for item in history.items}, history.size
        known: dict[str, Json] = {}
        resolved = []
        for item in items:
            if (item_id := item["id"]) in seen:
                message = f"The item with id '{clipped(item_id)}' is there twice. Send it once."
                raise InvalidRequestError(message, param="input")
            seen.add(item_id)
            if item.get("type") == "item_reference":
                if item_id not in known and (kept := await self._find(response_id_of(item_id))):
                    size += len(kept.response)
                    self.check_length(len(history.items) + len(items), size)
                    known |= {each["id"]: each for each in kept.output}
                if item_id not in known:
                    message = f"Item with id '{clipped(item_id)}' not found. Items are not kept when 'store' is false."
                    raise InvalidRequestError(message, param="input", status=404)
                item = known[item_id]
            resolved.append(item)
        return resolved

    def check_length(self, items: int, size: int) -> None:
        """Raise a CompletionError if a conversation has more items or bytes than a request may have."""
        limits = self._settings
        for count, limit, unit in ((items, limits.max_messages, "items"), (size, limits.max_body_size, "bytes")):
            if 0 < limit < count:
                message = f"The conversation has {count} {unit}: at most {limit} are taken. Begin a new one."
                raise CompletionError(message, status=400, code="context_length_exceeded", param="input")

    async def _find(self, response_id: str) -> KeptResponse | None:
        if ":" in response_id:  # as in the names of other entries
            return None
        data = await self._get(response_id)
        return None if data is None else msgspec.msgpack.decode(data, type=KeptResponse)

    async def _find_input(self, response_id: str) -> list[bytes] | None:
        data = await self._get(f"{response_id}:input")
        return None if data is None else msgspec.msgpack.decode(data, type=list[bytes])

    async def _get(self, name: str) -> bytes | None:
        found = None if self._connection is None else await self._connection.get(name)
        return await self._entries.get(name) if found is None else found


class _Output(Struct):
    output: list[Json]


class _Identified(Struct):
    id: str


def _id_of(item: bytes) -> str:
    return msgspec.json.decode(item, type=_Identified).id


def _position(items: list[bytes], item_id: str) -> int:
    """Return the position of an item, and decode no other that does not contain the id."""
    encoded_id = encode(item_id)
    for position, item in enumerate(items):
        if encoded_id in item and _id_of(item) == item_id:
            return position
    raise InvalidRequestError(f"There is no item with id '{clipped(item_id)}'.", param="after")


def _not_found(response_id: str) -> CompletionError:
    return CompletionError(f"Response with id '{clipped(response_id)}' not found.", status=404)
