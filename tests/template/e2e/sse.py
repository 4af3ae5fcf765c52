"""A stream of events, read by the letter."""

from typing import Any

import httpx
import msgspec

__all__ = ["EVENT_STREAM", "chunks_of", "deltas_of", "frames_of"]

EVENT_STREAM = "text/event-stream; charset=utf-8"
DONE = "[DONE]"


def frames_of(response: httpx.Response) -> list[str]:
    """The data of all frames of a stream, the last of which is `[DONE]`."""
    assert response.headers["content-type"] == EVENT_STREAM, response.text
    text = response.content.decode("utf-8")
    assert text.endswith("\n\n"), text
    frames = [frame for frame in text.removesuffix("\n\n").split("\n\n") if not frame.startswith(": ")]
    assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames), text
    return [frame.removeprefix("data: ") for frame in frames]


def chunks_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The chunks of a stream that ended as it should."""
    *frames, last = frames_of(response)
    assert last == DONE
    return [msgspec.json.decode(frame, type=dict[str, Any]) for frame in frames]


def deltas_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The deltas of a stream."""
    return [choice["delta"] for chunk in chunks_of(response) for choice in chunk["choices"]]
