"""Entries of one caller in the store of responses."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from litestar.stores.base import Store

from app.errors import OverloadedError

logger = logging.getLogger("app.responses")


class Entries:
    """The entries of one caller, under the names that the caller's responses give them.

    Where the store fails, a method raises an OverloadedError.

    Args:
        store: The store of all callers.
        owner: The id of the caller's key; None where there are no keys.
        expire: Seconds for which an entry is kept; None is forever.
    """

    def __init__(self, store: Store, owner: str | None, expire: int | None) -> None:
        self._store = store
        self._prefix = f"{owner or 'all'}:"
        self._expire = expire

    async def get(self, name: str) -> bytes | None:
        """Return an entry."""
        with _store_errors():
            return await self._store.get(self._prefix + name)

    async def set(self, name: str, value: bytes, *, expire: int | None = None) -> None:
        """Write an entry, which may be kept for a time of its own.

        Raises:
            ValueError: It is too large.
        """
        with _store_errors():
            await self._store.set(self._prefix + name, value, expires_in=expire or self._expire)

    async def exists(self, name: str) -> bool:
        """Return whether there is an entry."""
        with _store_errors():
            return await self._store.exists(self._prefix + name)

    async def delete(self, *names: str) -> None:
        """Delete entries."""
        with _store_errors():
            for name in names:
                await self._store.delete(self._prefix + name)


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (ValueError, OverloadedError):
        raise
    except Exception:
        logger.exception("The store of responses failed")
        raise unreachable() from None


def unreachable() -> OverloadedError:
    """Return the error for a request that needs what the store does not give."""
    return OverloadedError("The responses that were kept cannot be reached. Try again in a moment.")
