"""API keys: known by their hashes, and never shown."""

import hmac
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Self

__all__ = ["Keys", "KeysFile"]


class Keys(frozenset[bytes]):
    """The hashes of keys. The keys themselves are forgotten as soon as they are read."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The keys of a text, with commas between them.

        Raises:
            ValueError: it holds none.
        """
        return cls._hashed(text.split(","))

    @classmethod
    def _hashed(cls, keys: Iterable[str]) -> Self:
        found = cls(_hash(key.strip().encode()) for key in keys if key.strip())
        if not found:
            raise ValueError("It holds no key")  # rather than a server that is open by mistake
        return found

    def owner_of(self, key: bytes) -> str | None:
        """An id of the key that tells nothing about it, or None if it is not one of these.

        Each hash is compared, and in constant time: how long it takes tells nothing either.
        """
        digest = _hash(key)
        matches = [hmac.compare_digest(digest, known) for known in self]
        return f"key_{sha256(digest).hexdigest()[:16]}" if any(matches) else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)})"


class KeysFile(Keys):
    """The keys of a file."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The keys of the file at this path: one a line, besides lines that are empty or begin with `#`.

        Raises:
            ValueError: it cannot be read, or holds none.
        """
        try:
            lines = Path(text).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ValueError(error.strerror) from None
        return cls._hashed(line for line in lines if not line.lstrip().startswith("#"))


def _hash(key: bytes) -> bytes:
    return sha256(key).digest()
