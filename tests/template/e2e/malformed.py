"""A corpus of requests that are wrong, each in a way of its own: in their JSON, and in their HTTP."""

import json
import random
from collections.abc import Iterator
from typing import Any

from tests.template.e2e.connection import PATH, chat

__all__ = ["malformed_bodies", "malformed_http"]

GOOD: dict[str, Any] = chat("function", 'Hello, "world"! ☃', temperature=0.5, stream=False)
TEXT = json.dumps(GOOD, ensure_ascii=False).encode()
MESSAGE = GOOD["messages"][0]
WRONG: dict[str, list[Any]] = {
    "model": [None, "", 1, [], {}, True, ["function"], "x" * 10_000, "none", "fun\u0000ction"],
    "messages": [None, [], {}, "Hello!", 1, [None], [1], ["Hello!"], [[]], [{}], [MESSAGE, None], {"0": MESSAGE}],
    "stream": ["yes", 1, 0.5, [], {}],
    "stream_options": ["yes", 1, [], {"include_usage": "yes"}, {"include_usage": 1}],
    "temperature": ["hot", -1, 3, [], {}, True],
    "top_p": ["all", -0.1, 1.1, [], False],
    "n": ["one", 0, -1, 1.5, 1_000_000, []],
    "max_tokens": ["all", -1, 1.5, []],
    "presence_penalty": ["big", -3, 3, []],
    "frequency_penalty": ["big", -3, 3, []],
    "stop": [1, {}, [1], [None]],
    "user": [1, [], {}],
    "logprobs": ["yes", 1, []],
    "top_logprobs": ["all", -1, 100, 1.5],
    "tools": ["hammer", 1, {}, ["hammer"], [1]],
}
ROLES: list[Any] = [None, "", 1, [], {}, "User name", "\u0000"]
CONTENTS: list[Any] = [1, True, {}, {"type": "text"}, ["Hello!"], [1], [None], [[]]]
BYTES = [
    b"",
    b"\x00",
    b"null",
    b"true",
    b"1",
    b'"Hello!"',
    b"[]",
    b"[{}]",
    b"{}",
    b"model=function&messages=Hello",
    b"<xml/>",
    b"\xef\xbb\xbf" + TEXT,
    TEXT.decode().encode("utf-16"),
    TEXT + TEXT,
    TEXT + b"\x00",
    TEXT + b" x",
    TEXT.replace(b"0.5", b"NaN"),
    TEXT.replace(b"0.5", b"Infinity"),
    TEXT.replace(b"0.5", b"-Infinity"),
    TEXT.replace(b"0.5", b"1e999"),
    TEXT.replace(b"0.5", b"01"),
    TEXT.replace(b"0.5", b"0x1"),
    TEXT.replace(b"0.5", b".5"),
    TEXT.replace(b"0.5", b"1" * 10_000),
    TEXT.replace(b"Hello", b"\xff\xfe"),
    TEXT.replace(b"Hello", b"\xc3"),
    TEXT.replace(b"Hello", b"\xed\xa0\x80"),
    TEXT.replace(b"Hello", b"\\ud800"),
    TEXT.replace(b"Hello", b"\\x00"),
    TEXT.replace(b"Hello", b"\\u12"),
    TEXT.replace(b"Hello", b"\n"),
    TEXT.replace(b"false", b"False"),
    TEXT.replace(b'"', b"'"),
    TEXT.replace(b'"stream"', b'"model"'),
    TEXT.replace(b'"role"', b'"content"'),
    TEXT.replace(b"0.5", b"[" * 100_000),
    TEXT.replace(b"0.5", b"[" * 100_000 + b"]" * 100_000),
    TEXT.replace(b"0.5", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    b"{" * 1_000_000,
    b"[" * 1_000_000,
    b'{"a":' * 100_000,
]
PATHS = ["/", "/v1", "/v1/chat", "/v1/completions", "/v1/chat/completions/x", "/%00", "/%ff%fe", "/..", "/a" * 5000]
METHODS = ["GET", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"]
TYPES = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "\xff", "/"]
FIELDS = [
    "content-length: -1",
    "content-length: x",
    "content-length: 1, 2",
    "content-length: 99999999999999999999999",
    "content-length:",
    "content-length: 1\r\ncontent-length: 2",
    "content-length: 5\r\ntransfer-encoding: chunked",
    "transfer-encoding: gzip",
    "transfer-encoding: chunked, gzip",
    "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    "no colon",
    ": no name",
    "spaced name: x",
    "name : x",
    "na\x00me: x",
    "name: \x00",
    "name: \x01",
    "name: a\rb",
    "name: x\n\r\n",
    "n\xe9: x",
    "(name): x",
]
CHUNKS = [
    b"x\r\n",
    b"-1\r\n",
    b"ffffffffffffffffff\r\n",
    b"1\r\nab\r\n",
    b"1 \r\n",
    b"1\r\n{\r\nz",
    b"\r\n",
    b"0x1\r\n",
]
UPGRADES = [
    "upgrade: websocket",
    "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    "upgrade: h2c",
    "upgrade: x",
]
NOT_HTTP = [
    b"Hello!\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x00" * 100,
    b"\xff" * 100,
    b"{}\r\n\r\n",
    b"post /v1/models HTTP/1.1\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /v1/models HTTP/9.9\r\n\r\n",
    b"GET /v1/models HTTP/x\r\n\r\n",
    b"GET /v1/models FTP/1.1\r\n\r\n",
    b"GET /v1 /models HTTP/1.1\r\n\r\n",
    b"GET v1/models HTTP/1.1\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\n\r\n",
    b"GET /\x7f HTTP/1.1\r\n\r\n",
    b"GET http:// HTTP/1.1\r\n\r\n",
    b"GET http://[ HTTP/1.1\r\n\r\n",
    b"GET http://x:y/ HTTP/1.1\r\n\r\n",
    b"GET //[ HTTP/1.1\r\n\r\n",
    b"CONNECT localhost:80 HTTP/1.1\r\n\r\n",
    b"CONNECT / HTTP/1.1\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\n\r\n",
    b"GET * HTTP/1.1\r\n\r\n",
    b"GET /\xe2\x98\x83 HTTP/1.1\r\n\r\n",
]


def malformed_bodies() -> Iterator[bytes]:
    """Bodies that no request for a completion may have."""
    yield from BYTES
    yield from (TEXT[:end] for end in range(1, len(TEXT) - 1, 3))
    yield from (_json({**GOOD, name: value}) for name, values in WRONG.items() for value in values)
    yield from (_json({name: value for name, value in GOOD.items() if name != left_out}) for left_out in _REQUIRED)
    yield from (_json({**GOOD, "messages": [MESSAGE, {**MESSAGE, "role": role}]}) for role in ROLES)
    yield from (_json({**GOOD, "messages": [MESSAGE, {**MESSAGE, "content": content}]}) for content in CONTENTS)
    yield from _with_a_byte_replaced(60)


def malformed_http() -> Iterator[bytes]:
    """Requests that are wrong before anybody looks at their bodies, or are not HTTP at all."""
    yield from NOT_HTTP
    for path in PATHS:
        yield _request(path=path)
    for method in METHODS:
        yield _request(method=method)
    for kind in TYPES:
        yield _request(fields=f"content-type: {kind}\r\ncontent-length: {len(TEXT)}")
    for fields in FIELDS:
        yield _request(fields=fields)
    for upgrade in UPGRADES:
        yield _request(method="GET", fields=f"connection: upgrade\r\n{upgrade}", body=b"")
    for chunk in CHUNKS:
        yield _request(fields="transfer-encoding: chunked", body=chunk)
    yield _request(fields="x-long: " + "x" * 200_000)
    yield _request(fields="\r\n".join(f"x-{number}: x" for number in range(5000)))


_REQUIRED = ("model", "messages")


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _request(
    *, method: str = "POST", path: str = PATH, fields: str = f"content-length: {len(TEXT)}", body: bytes = TEXT
) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n\r\n".encode("latin-1") + body


def _with_a_byte_replaced(count: int) -> Iterator[bytes]:
    """The good body with the quotes, braces and colons replaced that JSON needs."""
    places = [place for place, byte in enumerate(TEXT) if byte in b'{}[]:"']
    chance = random.Random(0)  # noqa: S311 - the same corpus each time
    for _ in range(count):
        place = chance.choice(places)
        yield TEXT[:place] + bytes([chance.choice(b"\x00\x80\x7f<=;")]) + TEXT[place + 1 :]
