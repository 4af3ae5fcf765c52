"""Encoding: JSON, and the frames of a stream of server-sent events."""

import re
from numbers import Integral, Real
from secrets import token_hex
from typing import Any

import msgspec
from msgspec import Raw

from schemas.chat import ChatCompletionChunk, ChunkChoice, Delta, Json

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"  # a comment, which clients skip

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_PLACE = b'"%b"' % token_hex().encode()  # marks a place in an encoded object
_RAW_PLACE: Any = Raw(_PLACE)  # fits a field of any type


def plain(value: object) -> object:
    """Return a number of numpy, or a string of a subclass, as one that JSON knows.

    Raises:
        NotImplementedError: It is something else.
    """
    match value:
        case str():
            return str.__str__(value)
        case Integral():
            return int(value)
        case Real():
            return float(value)
    raise NotImplementedError(f"{type(value).__qualname__} cannot be sent as JSON.")


_json = msgspec.json.Encoder(enc_hook=plain)


def encode(value: object) -> bytes:
    """Return a value as JSON. A lone surrogate, which UTF-8 cannot encode, becomes U+FFFD."""
    try:
        return _json.encode(value)
    except UnicodeEncodeError:
        return _json.encode(_without_surrogates(msgspec.to_builtins(value, enc_hook=plain)))


def frame(value: object) -> bytes:
    """Return a value as a frame, on one line."""
    return b"data: %b\n\n" % _on_one_line(encode(value))


def named_frame(name: str, value: object) -> bytes:
    """Return a value as a frame with an event name."""
    return b"event: %b\n%b" % (name.encode(), frame(value))


def encode_text(text: str) -> bytes:
    """Return a string as JSON, on one line."""
    return _json.encode(text) if text.isascii() else _on_one_line(encode(text))


class ChunkFrames:
    """Makes the frames of chunks that differ in one choice; the rest is encoded once, which saves most of the time.

    Args:
        chunk: The chunk, without choices.
    """

    def __init__(self, chunk: ChatCompletionChunk) -> None:
        choices: Any = [_RAW_PLACE]
        chunk.choices = choices
        self._before, self._after = frame(chunk).split(_PLACE)
        text = ChunkChoice(delta=Delta(content=_RAW_PLACE))
        before, after = encode(text).split(_PLACE)
        self._before_text, self._after_text = self._before + before, after + self._after

    def text(self, text: str) -> bytes:
        """Return the frame of a text of the first choice."""
        return self._before_text + encode_text(text) + self._after_text

    def choice(self, choice: Json) -> bytes:
        """Return the frame of a choice."""
        return self._before + _on_one_line(encode(choice)) + self._after


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
