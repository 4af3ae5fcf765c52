"""API keys, which are kept as hashes only."""

import logging
import time
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Self

INTERVAL = 1.0  # seconds between two looks at the file of keys

logger = logging.getLogger("app.keys")


class Keys(frozenset[bytes]):
    """The hashes of some keys."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the keys of a text, separated by commas; raise ValueError if it contains none."""
        return cls._some(text.split(","))

    @classmethod
    def _some(cls, keys: Iterable[str]) -> Self:
        found = cls._hashed(keys)
        if not found:
            raise ValueError("It holds no key")  # rather than leave the server open by mistake
        return found

    @classmethod
    def _hashed(cls, keys: Iterable[str]) -> Self:
        return cls(sha256(key.strip().encode()).digest() for key in keys if key.strip())

    def owner_of(self, key: bytes) -> str | None:
        """Return an id of the key that does not reveal it, or None if it is not one of these.

        How long the look-up takes depends on the digest alone. Nobody can choose a key by what its digest has in common
        with another's, so this reveals no more than a comparison with each of them, whose cost grows with their number.
        """
        digest = sha256(key).digest()
        return f"key_{sha256(digest).hexdigest()[:16]}" if digest in self else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)})"


class KeysFile(Keys):
    """The hashes of the keys in a file, one a line; empty lines and those that begin with `#` are skipped."""

    path: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the keys of the file at this path; raise ValueError if it cannot be read, or contains none."""
        path = Path(text)
        try:
            found = cls._some(_lines(path))
        except OSError as error:
            raise ValueError(error.strerror) from None
        found.path = path
        return found

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the keys of the file, of which there may be none; raise OSError or ValueError if it is unreadable."""
        return cls._hashed(_lines(path))


class KeyRing:
    """All keys that open the server; those of the file are read again when it has changed."""

    def __init__(self, keys: Keys, file: KeysFile) -> None:
        self._fixed = keys
        self._path = file.path
        self._keys = Keys(keys | file)
        self._version: tuple[int, ...] | None = None  # of the file that was read
        self._next_look = 0.0
        self._is_unreadable = False

    def owner_of(self, key: bytes) -> str | None:
        """Return the id of the key, or None if it is not one of these."""
        if self._path is not None and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + INTERVAL
            self._look_at(self._path)
        return self._keys.owner_of(key)

    def _look_at(self, path: Path) -> None:
        try:
            status = path.stat()
            version = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if version != self._version:
                self._keys = Keys(self._fixed | KeysFile.read(path))
                self._version = version
            self._is_unreadable = False
        except (OSError, ValueError) as error:
            if not self._is_unreadable:
                logger.error("API_KEYS_FILE cannot be read, so the keys it had stay valid: %s", error)
            self._is_unreadable = True


def _lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [line for line in lines if not line.lstrip().startswith("#")]
