"""Encoding: JSON, and the frames of a stream of server-sent events."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from schemas.chat import ChatCompletionChunk

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"  # a comment, which clients skip

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_json = msgspec.json.Encoder()


def encode(value: object) -> bytes:
    """Return a value as JSON. A lone surrogate, which UTF-8 cannot encode, becomes U+FFFD."""
    try:
        return _json.encode(value)
    except UnicodeEncodeError:
        return _json.encode(_without_surrogates(msgspec.to_builtins(value)))


def frame(value: object) -> bytes:
    """Return a value as a frame, on one line."""
    return b"data: %b\n\n" % _on_one_line(encode(value))


def named_frame(name: str, value: object) -> bytes:
    """Return a value as a frame with an event name."""
    return b"event: %b\n%b" % (name.encode(), frame(value))


def encode_text(text: str) -> bytes:
    """Return a string as JSON, on one line."""
    return _json.encode(text) if text.isascii() else _on_one_line(encode(text))


def text_framer(chunk: ChatCompletionChunk) -> Callable[[str], bytes]:
    """Return a function that makes the frame of a text, as the content of this chunk, whose own content is empty.

    The rest of the chunk is encoded once for all texts, which saves most of the time that a chunk takes.
    """
    before, _, after = frame(chunk).rpartition(b'""')

    def text_frame(text: str) -> bytes:
        return before + encode_text(text) + after

    return text_frame


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case dict():
            return {_without_surrogates(name): _without_surrogates(part) for name, part in value.items()}
        case list():
            return [_without_surrogates(part) for part in value]
        case _:
            return value


def _on_one_line(data: bytes) -> bytes:
    if data.isascii():
        return data
    # Some clients, httpx among them, end a line at these three too
    return (
        data.replace(b"\xe2\x80\xa8", rb"\u2028").replace(b"\xe2\x80\xa9", rb"\u2029").replace(b"\xc2\x85", rb"\u0085")
    )
