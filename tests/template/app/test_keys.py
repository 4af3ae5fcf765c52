"""Keys: known by their hashes, and never shown."""

import re
from pathlib import Path

import pytest

from app.keys import Keys, KeysFile
from app.settings import Settings, SettingsError

KEY = "sk-of-somebody"


def test_a_key_is_known_by_an_id_that_is_always_the_same_and_tells_nothing() -> None:
    first, second = Keys.parse(f"{KEY},other"), Keys.parse(KEY)

    owner = first.owner_of(KEY.encode())

    assert owner == second.owner_of(KEY.encode())
    assert owner is not None
    assert re.fullmatch(r"key_[0-9a-f]{16}", owner)
    assert owner != first.owner_of(b"other")


@pytest.mark.parametrize(
    "key", [b"", b" ", b"sk-of-somebod", b"sk-of-somebody ", b"SK-OF-SOMEBODY", b"\xff", b"a" * 9999]
)
def test_any_other_key_is_nobodys(key: bytes) -> None:
    assert Keys.parse(KEY).owner_of(key) is None


def test_a_server_without_keys_knows_nobody() -> None:
    assert not Keys()
    assert Keys().owner_of(b"") is None


def test_keys_stand_between_commas_and_in_lines_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours\nthird\n\n  fourth, with a comma  \n  # theirs\n")

    settings = Settings.load({"API_KEYS": " first,second,, first ", "API_KEYS_FILE": str(file)})

    known = [b"first", b"second", b"third", b"fourth, with a comma"]
    assert len(settings.keys) == len(known)
    assert all(settings.keys.owner_of(key) for key in known)


def test_a_key_may_be_of_any_characters() -> None:
    assert Keys.parse("schlüssel").owner_of("schlüssel".encode())


def test_keys_are_kept_and_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("in-the-file")
    settings = Settings.load(
        {
            "API_KEYS": KEY,
            "API_KEYS_FILE": str(tmp_path / "keys"),
            "REDIS_URL": "redis://:password@localhost",
        }
    )

    shown = f"{settings!r} {settings} {settings.keys!r} {list(settings.keys)}"

    assert not [secret for secret in (KEY, "in-the-file", "password") if secret in shown]
    assert not [digest for digest in settings.keys if digest.hex() in repr(settings)]


@pytest.mark.parametrize("text", [",", " , ,", " "])
def test_a_variable_without_any_key_is_refused_rather_than_leaving_the_server_open(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^API_KEYS does not do: it holds no key"):
        Settings.load({"API_KEYS": text})


@pytest.mark.parametrize("content", ["", "\n", "# none\n"])
def test_a_file_without_any_key_is_refused_too(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys").write_text(content)

    with pytest.raises(SettingsError, match=r"^API_KEYS_FILE is .*: it holds no key"):
        Settings.load({"API_KEYS_FILE": str(tmp_path / "keys")})


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    for name, reason in (("missing", "no such file"), ("", "is a directory"), ("binary", "can't decode")):
        with pytest.raises(SettingsError, match=rf"^API_KEYS_FILE is .*{reason}"):
            Settings.load({"API_KEYS_FILE": str(tmp_path / name)})


def test_the_settings_of_a_file_stay_keys() -> None:
    assert isinstance(Settings().api_keys_file, KeysFile)
    assert Settings().keys == Keys()
