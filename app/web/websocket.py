"""WebSockets: uvicorn's protocol, with the shutdown and the log of this application."""

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.web.http import CLOSING_TIME, litestar_of


class WebSocket(WebSocketsSansIOProtocol):
    """uvicorn's protocol of WebSockets; its application closes them when the server stops."""

    def shutdown(self) -> None:
        """Drain the engine, and close the connection after the grace, if it is not closed by then."""
        state = litestar_of(self.config).state
        state.engine.drain(state.settings.shutdown_grace)
        self.loop.call_later(state.settings.shutdown_grace + CLOSING_TIME, super().shutdown)

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message; one that refuses the handshake completes it, or uvicorn would log an error."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    def handle_ping(self) -> None:
        """Answer a ping, unless its client takes nothing of what waits for it."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def keepalive_timeout(self) -> None:
        """Cut the connection: its client takes nothing of what waits for it."""
        super().keepalive_timeout()
        self.transport.abort()
