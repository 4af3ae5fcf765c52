"""Responses that are made without their clients: followed, cancelled, and ended before the server stops."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from math import inf

import msgspec
from litestar import Litestar
from msgspec import Struct

from app.engine.completion import Completion
from app.engine.frames import DONE, KEEP_ALIVE, named_frame
from app.errors import ClientDisconnectedError, CompletionError, InvalidRequestError, OverloadedError
from app.responses.events import error_event
from app.responses.renderer import replay
from app.responses.store import KeptResponse, KeptResponses
from app.web.logs import fields_of
from schemas.responses import Response

logger = logging.getLogger("app.responses")

TICK = 0.1  # seconds between two writes of events, and between two looks at what another process has written
REPORTS = 50  # ticks between two reports that a response is still made
ATTEMPTS = 10  # to keep a response at its end, one a second
CANCELLING_TIME = 5.0  # seconds in which a response that is cancelled should end


class BackgroundResponse:
    """A response that is made in the background.

    Args:
        response: The response, without output.
        responses: Those of the caller.
        keep: Keeps the response.

    Raises:
        InvalidRequestError: It is not to be stored.
    """

    completion: Completion

    def __init__(
        self, response: Response, responses: KeptResponses, keep: Callable[[Response], Awaitable[bool]]
    ) -> None:
        if not response.store:
            raise InvalidRequestError("A response in the background must be stored.", param="background")
        self._ended = response
        self._responses = responses
        self._keep = keep
        self._progress = responses.progress(response.id)
        self._is_settled = False

    async def end(self, response: Response) -> bool:
        """Keep the response when it has ended, so that it is there when its last event is read."""
        self._ended = response
        with suppress(CompletionError):
            await self._settle()
        return True

    async def cancelled(self) -> None:
        """Report from time to time that the response is made, and cancel it when that is asked for."""
        ticks = 0
        while True:
            with suppress(CompletionError):  # the store is out of reach
                if ticks % REPORTS == 0:
                    await self._progress.report()
                if await self._progress.is_cancelled():
                    break
            ticks += 1
            await asyncio.sleep(TICK)
        self.completion.cancel(ClientDisconnectedError())

    async def begin(self) -> None:
        """Keep the response as it begins.

        Raises:
            OverloadedError: There is no room for it, or the store is out of reach.
        """
        if not await self._keep(self._ended):
            await self._progress.runs()  # raises an error of its own if the store is out of reach
            raise OverloadedError("There is no room to keep this response. Try again without 'background'.")
        await self._progress.report()
        self.completion.begin()

    async def run(self) -> None:
        """Write the events of the response."""
        number = 0
        try:
            while (frames := await self.completion.next_frames()) is not None:
                if frames == KEEP_ALIVE:
                    continue
                with suppress(CompletionError, ValueError):  # the store is out of reach or full: the response goes on
                    await self._progress.write(number, frames)
                    number += 1
                await asyncio.sleep(TICK)  # the events of a fast model are written together
        finally:
            await self.completion.close()
            logger.info("A response in the background has ended", extra={"fields": fields_of(self.completion.record)})
            await self._finish()

    async def _settle(self) -> bool:
        """Keep the response, even if others took its room, unless it has been deleted; return whether that is done."""
        is_deleted = await self._progress.is_cancelled() and not await self._responses.exists(self._ended.id)
        self._is_settled = is_deleted or await self._keep(self._ended)
        return self._is_settled

    async def _finish(self) -> None:
        """Let nobody wait for more events, or delete them with their response; try again if the store fails."""
        for _ in range(ATTEMPTS):
            with suppress(CompletionError):
                if self._is_settled or await self._settle():
                    exists = await self._responses.exists(self._ended.id)
                    await (self._progress.end() if exists else self._progress.clear())
                    return
            await asyncio.sleep(1)
        logger.error("The response '%s' could not be kept", self._ended.id)


class BackgroundResponses:
    """The responses that are made in the background of a process.

    Args:
        grace: Seconds that they may go on when the server stops.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, response: BackgroundResponse) -> None:
        """Keep a response whose completion has started, and go on with it; raise an error if it cannot be kept."""
        try:
            await response.begin()
        except CompletionError as error:
            response.completion.record.ended = "rejected"
            await response.completion.close(error)
            raise
        task = asyncio.create_task(response.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @asynccontextmanager
    async def running(self, app: Litestar) -> AsyncIterator[None]:
        """Wait at the end of the application until all responses have ended."""
        yield
        if self._tasks:
            app.state.engine.drain(self._grace)
            await asyncio.wait(self._tasks)


async def follow(responses: KeptResponses, response_id: str, after: int, keep_alive: float) -> AsyncIterator[bytes]:
    """Yield the events of a response while it is made, and comments while there are none.

    Args:
        responses: Those of the caller.
        response_id: The id of the response.
        after: The number of the event after which to begin.
        keep_alive: Seconds without an event after which a comment is sent; 0 is never.
    """
    progress, number, has_ended, idle = responses.progress(response_id), 0, False, 0.0
    last = b""
    try:
        while True:
            if (frames := await progress.read(number)) is not None:
                number, idle, last = number + 1, 0, frames
                yield _events_after(after, frames)
                if frames.endswith(DONE):
                    return
            elif has_ended:  # and the rest of its events is not kept
                yield b"".join(replay((await responses.get(response_id)).response, after)[-2:])
                return
            elif not (has_ended := not await progress.runs()):
                await asyncio.sleep(TICK)
                idle += TICK
                if keep_alive and idle >= keep_alive:
                    idle = 0
                    yield KEEP_ALIVE
    except CompletionError as error:
        seen = _number_of(last.split(b"\n\n")[-2]) if last else 0  # a client that resumes after it misses nothing
        yield named_frame("error", error_event(error) | {"sequence_number": max(seen, after)}) + DONE


async def cancel(responses: KeptResponses, response_id: str) -> KeptResponse:
    """Cancel a response, and return it when it has ended; one that has ended already is returned as it is.

    Raises:
        CompletionError: There is no such response, or it does not run in the background.
    """
    kept = await responses.get(response_id)
    if not kept.state.background:
        raise InvalidRequestError("Only a response that was created with 'background' can be cancelled.")
    if kept.state.runs:
        await responses.progress(response_id).cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(CANCELLING_TIME):
                while (kept := await responses.get(response_id)).state.runs:  # noqa: ASYNC110 - in any process
                    await asyncio.sleep(TICK)
    return kept


class _Numbered(Struct):
    sequence_number: int


def _events_after(number: int, frames: bytes) -> bytes:
    if number < 0:
        return frames
    return b"".join(frame + b"\n\n" for frame in frames.split(b"\n\n")[:-1] if _number_of(frame) > number)


def _number_of(frame: bytes) -> float:
    data = frame.partition(b"data: ")[2]
    return inf if data == b"[DONE]" else msgspec.json.decode(data, type=_Numbered).sequence_number
