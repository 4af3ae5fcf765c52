"""API keys, which are kept as hashes only."""

import hmac
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Self


class Keys(frozenset[bytes]):
    """The hashes of some keys."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the keys of a text, separated by commas; raise ValueError if it contains none."""
        return cls._hashed(text.split(","))

    @classmethod
    def _hashed(cls, keys: Iterable[str]) -> Self:
        found = cls(sha256(key.strip().encode()).digest() for key in keys if key.strip())
        if not found:
            raise ValueError("It holds no key")  # rather than leave the server open by mistake
        return found

    def owner_of(self, key: bytes) -> str | None:
        """Return an id of the key that does not reveal it, or None if it is not one of these.

        Each hash is compared, in constant time, so that the duration reveals nothing either.
        """
        digest = sha256(key).digest()
        matches = [hmac.compare_digest(digest, known) for known in self]
        return f"key_{sha256(digest).hexdigest()[:16]}" if any(matches) else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)})"


class KeysFile(Keys):
    """The hashes of the keys in a file, one a line; empty lines and those that begin with `#` are skipped."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the keys of the file at this path; raise ValueError if it cannot be read, or contains none."""
        try:
            lines = Path(text).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ValueError(error.strerror) from None
        return cls._hashed(line for line in lines if not line.lstrip().startswith("#"))
