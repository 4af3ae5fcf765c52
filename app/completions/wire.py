"""Completions and chunks as bytes."""

import json
import re

import msgspec

__all__ = ["DONE", "KEEP_ALIVE", "encode", "frame"]

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"  # a comment: clients skip it, proxies see a living stream

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_json = msgspec.json.Encoder()


def encode(value: object) -> bytes:
    """A value as JSON. A lone surrogate, which UTF-8 cannot hold, becomes U+FFFD."""
    try:
        return _json.encode(value)
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False, separators=(",", ":"))
        return _SURROGATE.sub("\ufffd", text).encode()


def frame(value: object) -> bytes:
    """A value as a frame of a stream, on one line whatever a client takes for a line's end."""
    data = encode(value)
    if not data.isascii():  # httpx, for one, ends a line at these three as well
        data = data.replace(b"\xe2\x80\xa8", rb"\u2028").replace(b"\xe2\x80\xa9", rb"\u2029")
        data = data.replace(b"\xc2\x85", rb"\u0085")
    return b"data: %b\n\n" % data
