"""Progress of a response that runs in the background, as all processes of the server see it."""

from app.responses.entries import Entries

LOST = 30  # seconds without a report after which the process that ran a response counts as gone


class Progress:
    """The events of a running response, and the marks that it runs and that it is to be cancelled.

    They are in the store of responses, so that any process of the server can follow or cancel a response.

    Args:
        entries: The entries of the caller.
        response_id: The id of the response.
    """

    def __init__(self, entries: Entries, response_id: str) -> None:
        self._entries = entries
        self._id = response_id

    async def write(self, number: int, frames: bytes) -> None:
        """Write events; the numbers count the writes from 0."""
        await self._entries.set(f"{self._id}:events:{number}", frames)

    async def read(self, number: int) -> bytes | None:
        """Return the events of one write, or None if there are none yet."""
        return await self._entries.get(f"{self._id}:events:{number}")

    async def report(self) -> None:
        """Report that the response runs."""
        await self._entries.set(f"{self._id}:runs", b"", expire=LOST)

    async def end(self) -> None:
        """Report that no more events will be written."""
        await self._entries.delete(f"{self._id}:runs")

    async def runs(self) -> bool:
        """Return whether more events may come: the process that runs the response has reported of late."""
        return await self._entries.exists(f"{self._id}:runs")

    async def cancel(self) -> None:
        """Ask the process that runs the response to cancel it."""
        await self._entries.set(f"{self._id}:cancel", b"", expire=LOST)

    async def is_cancelled(self) -> bool:
        """Return whether the response is to be cancelled."""
        return await self._entries.exists(f"{self._id}:cancel")

    async def clear(self) -> None:
        """Delete everything."""
        number = 0
        while await self._entries.exists(name := f"{self._id}:events:{number}"):
            await self._entries.delete(name)
            number += 1
        await self._entries.delete(f"{self._id}:runs", f"{self._id}:cancel")
