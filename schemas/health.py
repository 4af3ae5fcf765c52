"""What the server says of itself to whoever runs it."""

from typing import Literal

from msgspec import Struct

__all__ = ["Health"]


class Health(Struct, frozen=True):
    """How the server is."""

    status: Literal["alive", "ready"]
