"""Completions and chunks as bytes."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from schemas.chat import ChatCompletionChunk

__all__ = ["DONE", "KEEP_ALIVE", "encode", "encode_text", "frame", "named_frame", "text_framer"]

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"  # a comment: clients skip it, proxies see a living stream

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_json = msgspec.json.Encoder()


def encode(value: object) -> bytes:
    """A value as JSON. A lone surrogate, which UTF-8 cannot hold, becomes U+FFFD."""
    try:
        return _json.encode(value)
    except UnicodeEncodeError:
        return _json.encode(_without_surrogates(msgspec.to_builtins(value)))


def frame(value: object) -> bytes:
    """A value as a frame of a stream, on one line."""
    return b"data: %b\n\n" % _on_one_line(encode(value))


def named_frame(name: str, value: object) -> bytes:
    """Likewise, as an event of that name."""
    return b"event: %b\n%b" % (name.encode(), frame(value))


def encode_text(text: str) -> bytes:
    """A text as JSON, on one line."""
    return _json.encode(text) if text.isascii() else _on_one_line(encode(text))


def text_framer(chunk: ChatCompletionChunk) -> Callable[[str], bytes]:
    """What makes a frame of a text, as if the text were the content of this chunk, whose own is empty.

    The rest of the chunk is encoded once for all texts: of the time that a chunk takes, that was most.
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
    # httpx, for one, ends a line at these three as well
    return (
        data.replace(b"\xe2\x80\xa8", rb"\u2028").replace(b"\xe2\x80\xa9", rb"\u2029").replace(b"\xc2\x85", rb"\u0085")
    )
