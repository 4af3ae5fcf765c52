"""Settings: each is read from the variable of its name, and a wrong value is refused with a sentence."""

from pathlib import Path

import pytest
from dotenv import dotenv_values

from app.settings import Secret, Settings, SettingsError
from tests.conftest import ROOT

RIGHT = {
    "OWNED_BY": "me",
    "SYNC_WORKERS": "7",
    "REQUEST_TIMEOUT": "2.5",
    "PUBLIC_DOCS": "true",
    "CORS_ORIGINS": "http://a, http://b",
}
WRONG = {"LOG_LEVEL": "loud", "MAX_BODY_SIZE": "0", "SYNC_WORKERS": "1.5", "PUBLIC_DOCS": "perhaps"}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(name.upper(), raising=False)


def test_each_setting_is_read_from_its_variable_in_its_type() -> None:
    assert Settings.load(RIGHT) == Settings(
        owned_by="me", sync_workers=7, request_timeout=2.5, public_docs=True, cors_origins=("http://a", "http://b")
    )


@pytest.mark.parametrize("name", [name.upper() for name in Settings.__struct_fields__])
def test_an_empty_variable_counts_as_not_set(name: str) -> None:
    assert Settings.load({name: ""}) == Settings.load({name: None}) == Settings()


@pytest.mark.parametrize(("name", "value"), WRONG.items())
def test_a_wrong_value_is_refused_with_a_sentence_that_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({name: value})
    assert caught.value.message.startswith(f"{name} is {value!r}, but it must be")
    assert f"Change {name} in the environment or in .env" in caught.value.message


def test_the_environment_is_read_and_then_the_dotenv_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# who\nOWNED_BY='the file'\nSYNC_WORKERS=7\nOTHER=1\n")
    assert (Settings.load().owned_by, Settings.load().sync_workers) == ("the file", 7)
    monkeypatch.setenv("OWNED_BY", "the environment")
    assert (Settings.load().owned_by, Settings.load().sync_workers) == ("the environment", 7)


def test_no_key_or_secret_is_in_the_text_of_the_settings() -> None:
    assert "hunter2" not in f"{Settings.load({'API_KEYS': 'hunter2'})!r} {Secret('hunter2')!r}"


def test_the_example_lists_every_setting_and_can_be_copied_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    assert sorted(dotenv_values(".env")) == sorted(name.upper() for name in Settings.__struct_fields__)
    assert Settings.load() == Settings()
