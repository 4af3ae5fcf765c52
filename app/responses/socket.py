"""The Responses API over a WebSocket: each message is a request, answered by the same handler as one over HTTP.

Source: https://developers.openai.com/api/docs/guides/websocket-mode
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from secrets import token_hex
from typing import Any

import msgspec
from litestar import WebSocket
from litestar.enums import ScopeType
from litestar.exceptions import WebSocketDisconnect
from litestar.middleware import ASGIMiddleware
from litestar.status_codes import HTTP_200_OK
from litestar.types import ASGIApp, Receive, Scope, Send

from app.engine.engine import Engine
from app.engine.frames import encode
from app.engine.request import parse_json
from app.errors import CompletionError, InvalidRequestError
from schemas.chat import Json

LIFETIME = 3600.0  # seconds that a connection may last, as with OpenAI
IDLE = 1.0  # seconds between two looks whether an idle connection should be closed
MAX_WAITING = 4  # messages that may wait while a response is made
MEMORY = "responses_of_websockets"  # the store of what connections remember
CONNECTION = "websocket"  # key in the state of a request: the id of its connection
COPIED = ("asgi", "server", "client", "path", "raw_path", "root_path", "query_string")  # of the scope of the WebSocket
STREAM_ID = re.compile(r"[\w.-]{1,256}", re.ASCII)
LIMITING = re.compile(r"retry-after|x-ratelimit-")  # headers of an error that its event has too
NOT_COPIED = (b"upgrade", b"connection", b"content-type", b"content-length", b"x-request-id")  # of its headers


class Refusals(ASGIMiddleware):
    """Answers the handshake of a WebSocket that the middleware after it refuses as a request over HTTP is answered."""

    scopes = (ScopeType.WEBSOCKET,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Pass the handshake on."""
        refuse: Any = send  # Litestar's types do not know the messages of this extension
        try:
            await next_app(scope, receive, send)
        except CompletionError as error:
            headers = {"content-type": "application/json", **error.headers}
            raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
            await refuse({"type": "websocket.http.response.start", "status": error.status, "headers": raw})
            await refuse({"type": "websocket.http.response.body", "body": encode(error.to_response())})


class ResponsesSocket:
    """A connection, on which one response is made after another.

    Each message passes through the whole application as a request of its own, so that keys, limits, logs and metrics
    apply to it. What is not to be stored is remembered until the connection ends or a request fails.
    """

    def __init__(self, socket: WebSocket[Any, Any, Any]) -> None:
        self._socket = socket
        self._engine: Engine = socket.app.state.engine
        self._memory: Any = socket.app.stores.get(MEMORY)
        self._id = token_hex(16)
        self._messages = asyncio.Queue[str](MAX_WAITING)
        self._has_left = False
        self._over = asyncio.Event()  # set when the answer to a message has been sent, or the client has left

    async def serve(self) -> None:
        """Answer messages until the client leaves, the server stops, or the connection has lasted for long enough."""
        await self._socket.accept()
        receiving, clock = asyncio.create_task(self._receive()), asyncio.get_running_loop().time
        ends_at = clock() + LIFETIME
        try:
            while not self._has_left and not self._engine.draining and clock() < ends_at:
                try:
                    message = await asyncio.wait_for(self._messages.get(), IDLE)
                except TimeoutError:
                    continue
                await self._answer(message)
            await self._close()
        finally:
            receiving.cancel()
            self._memory.forget(self._id)

    async def send(self, event: bytes) -> None:
        """Send an event, unless the client has left."""
        if not self._has_left:
            await self._socket.send_text(event.decode())

    async def _receive(self) -> None:
        try:
            while True:
                message = await self._socket.receive_text()
                if not self._messages.full():
                    self._messages.put_nowait(message)
                    continue
                answer, error = _Answer(self.send), f"At most {MAX_WAITING} messages may wait: send this one later."
                with suppress(CompletionError):
                    _read(message, answer)
                await answer.refuse(InvalidRequestError(error, status=429))
        except WebSocketDisconnect:
            self._has_left = True
            self._over.set()

    async def _answer(self, message: str) -> None:
        self._over = over = asyncio.Event()
        answer = _Answer(self.send)
        try:
            unread = [_read(message, answer)]
        except CompletionError as error:
            await answer.refuse(error)
            return

        async def receive() -> Any:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            await answer.receive(message)
            if not message.get("more_body", True):
                over.set()

        # In a task, as the request has context variables of its own
        await asyncio.create_task(self._socket.app(self._scope(), receive, send))
        if answer.status != HTTP_200_OK:
            self._memory.forget(self._id)

    def _scope(self) -> Any:
        """Return the scope of a request that is sent like the one for the WebSocket."""
        scope: Any = self._socket.scope
        headers = [header for header in scope["headers"] if header[0] not in NOT_COPIED]
        return {
            **{name: scope[name] for name in COPIED if name in scope},
            "type": "http",
            "http_version": "1.1",
            "scheme": "https" if scope["scheme"] == "wss" else "http",
            "method": "POST",
            "headers": [*headers, (b"content-type", b"application/json")],
            "state": {CONNECTION: self._id},
        }

    async def _close(self) -> None:
        if self._has_left:
            return
        if not self._engine.draining:
            message = "This connection has lasted for 60 minutes. Open a new one."
            error = CompletionError(message, status=400, code="websocket_connection_limit_reached")
            await _Answer(self.send).refuse(error)
        await self._socket.close(1012 if self._engine.draining else 1000)  # "service restart", "normal"


def _read(message: str, answer: "_Answer") -> bytes:
    """Return the body of the request that a message stands for, and tell the answer where it belongs.

    Raises:
        InvalidRequestError: It is something else.
    """
    if not message:
        raise InvalidRequestError("A message must be text: the JSON of an event of the type 'response.create'.")
    body = parse_json(message.encode(errors="surrogatepass"), content_type=b"")
    stream_id = body.pop("stream_id", None)
    if stream_id is not None and not (isinstance(stream_id, str) and STREAM_ID.fullmatch(stream_id)):
        error = "'stream_id' must be 1 to 256 letters, digits, '_', '.' or '-'."
        raise CompletionError(error, status=400, code="invalid_stream_id", param="stream_id")
    answer.stream_id = stream_id
    if body.pop("type", None) != "response.create":
        raise InvalidRequestError("The 'type' of a message must be 'response.create'.", param="type")
    if body.pop("background", False):
        raise InvalidRequestError("A WebSocket has no responses in the background.", param="background")
    return encode(body | {"stream": True})


class _Answer:
    """Sends the answer to one message: the events of a stream, or an error.

    Args:
        send: Sends an event.
    """

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self.status = 0
        self.stream_id: str | None = None  # by which the client tells apart what it has asked for
        self._send = send
        self._error = b""
        self._headers: Json = {}

    async def receive(self, message: Any) -> None:
        """Take what the application sends by HTTP."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]}
            self._headers = {name: value for name, value in headers.items() if LIMITING.match(name)}
        elif self.status == HTTP_200_OK:
            for frame in message["body"].split(b"\n\n"):
                event = frame.partition(b"data: ")[2]
                # Neither a comment, nor the end, nor an error, which a client takes for the end of the response
                if event.startswith(b"{") and not event.startswith(b'{"type":"error"'):
                    await self._send_event(event)
        else:
            self._error += message["body"]
            if not message["more_body"]:
                await self._send_error(msgspec.json.decode(self._error)["error"])

    async def refuse(self, error: CompletionError) -> None:
        """Send an error."""
        self.status, self._headers = error.status, error.headers
        await self._send_error(msgspec.to_builtins(error.to_response().error))

    async def _send_error(self, error: Json) -> None:
        error["code"] = error["code"] or error["type"]  # the Open Responses specification wants a string
        error["headers"] = self._headers
        await self._send_event(encode({"type": "error", "status": self.status, "error": error}))

    async def _send_event(self, event: bytes) -> None:
        if self.stream_id is not None:
            event = b'{"stream_id":%b,%b' % (encode(self.stream_id), event[1:])
        await self._send(event)
