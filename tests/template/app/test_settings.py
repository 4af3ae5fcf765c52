"""Settings: each from its variable, wrong ones refused with a sentence."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from click import ClickException
from dotenv import dotenv_values

from app.keys import Keys, KeysFile
from app.settings import Settings, SettingsError

ROOT = Path(__file__).parents[3]
KEYS_FILE = ROOT / "justfile"  # any file that has lines
RIGHT: dict[str, tuple[str, Any]] = {
    "API_KEYS": ("first, second", Keys.parse("second,first")),
    "API_KEYS_FILE": (str(KEYS_FILE), KeysFile.parse(str(KEYS_FILE))),
    "PLAYGROUND": ("false", False),
    "PUBLIC_DOCS": ("true", True),
    "REQUESTS_PER_MINUTE": ("60", 60),
    "REDIS_URL": ("redis://localhost", "redis://localhost"),
    "ALLOWED_HOSTS": ("a.example.com, *.example.org", ("a.example.com", "*.example.org")),
    "CORS_ORIGINS": ("https://chat.example.com", ("https://chat.example.com",)),
    "OWNED_BY": ("me", "me"),
    "REASONING_FIELD": ("both", "both"),
    "MAX_BODY_SIZE": ("1000", 1000),
    "MAX_HEADER_SIZE": ("8192", 8192),
    "MAX_JSON_DEPTH": ("0", 0),
    "MAX_MESSAGES": ("1000", 1000),
    "STORE_RESPONSES": ("false", False),
    "RESPONSES_EXPIRE": ("60", 60),
    "RESPONSES_MEMORY": ("1000", 1000),
    "MAX_CONCURRENT_COMPLETIONS": ("1", 1),
    "SYNC_WORKERS": ("40", 40),
    "COMPLETION_TIMEOUT": ("2.5", 2.5),
    "FINISH_WITHOUT_CLIENT": ("true", True),
    "KEEP_ALIVE_INTERVAL": ("0", 0),
    "REQUEST_TIMEOUT": ("10", 10),
    "SHUTDOWN_GRACE": ("0.5", 0.5),
    "LOG_LEVEL": ("DEBUG", "DEBUG"),
    "LOG_FORMAT": ("json", "json"),
    "METRICS": ("true", True),
    "TRACING": ("true", True),
    "OPENAI_MODEL": ("llama3.2", "llama3.2"),
    "OPENAI_BASE_URL": ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"),
    "OPENAI_API_KEY": ("sk-secret", "sk-secret"),
    "LOCAL_MODEL_PATH": ("model.gguf", "model.gguf"),
    "RAG_FOLDER": ("documents", "documents"),
}
WRONG = [
    ("REASONING_FIELD", "thoughts"),
    ("MAX_BODY_SIZE", "20 MB"),
    ("MAX_BODY_SIZE", "0"),
    ("PUBLIC_DOCS", "perhaps"),
    ("REQUESTS_PER_MINUTE", "-1"),
    ("REQUESTS_PER_MINUTE", "10000000"),
    ("ALLOWED_HOSTS", ","),
    ("CORS_ORIGINS", " , "),
    ("MAX_HEADER_SIZE", "0"),
    ("MAX_JSON_DEPTH", "-1"),
    ("MAX_MESSAGES", "-1"),
    ("STORE_RESPONSES", "perhaps"),
    ("RESPONSES_EXPIRE", "soon"),
    ("RESPONSES_MEMORY", "0"),
    ("MAX_CONCURRENT_COMPLETIONS", "-1"),
    ("MAX_CONCURRENT_COMPLETIONS", "null"),
    ("SYNC_WORKERS", "1.5"),
    ("SYNC_WORKERS", "0"),
    ("COMPLETION_TIMEOUT", "soon"),
    ("COMPLETION_TIMEOUT", "-1"),
    ("COMPLETION_TIMEOUT", "nan"),
    ("FINISH_WITHOUT_CLIENT", "perhaps"),
    ("KEEP_ALIVE_INTERVAL", "-0.1"),
    ("REQUEST_TIMEOUT", "0"),
    ("SHUTDOWN_GRACE", "-1"),
    ("LOG_LEVEL", "loud"),
    ("LOG_FORMAT", "xml"),
    ("METRICS", "perhaps"),
    ("TRACING", "perhaps"),
]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment nor a `.env` says anything."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(name.upper(), raising=False)


def values(settings: Settings) -> dict[str, Any]:
    return {name.upper(): value for name, value in msgspec.structs.asdict(settings).items()}


def test_each_setting_is_read_from_the_variable_of_its_name() -> None:
    settings = Settings.load({name: text for name, (text, _) in RIGHT.items()})

    assert values(settings) == {name: value for name, (_, value) in RIGHT.items()}


def test_what_is_not_set_has_its_default() -> None:
    assert Settings.load() == Settings.load({}) == Settings()


@pytest.mark.parametrize("name", RIGHT)
def test_a_variable_that_is_empty_counts_as_not_set(name: str) -> None:
    assert Settings.load({name: ""}) == Settings.load({name: None}) == Settings()


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_refused_with_a_sentence_that_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({name: value})

    assert isinstance(caught.value, ClickException)  # which the command line shows without a traceback
    assert caught.value.message.startswith(f"{name} is {value!r}")
    assert f"Change {name} in the environment or in .env" in caught.value.message


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWNED_BY", "the environment")

    assert Settings.load().owned_by == "the environment"


def test_a_dotenv_file_of_the_working_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# who\nOWNED_BY='the file'\n\nSYNC_WORKERS=7\nOTHER=1\n")

    settings = Settings.load()

    assert (settings.owned_by, settings.sync_workers) == ("the file", 7)


def test_the_environment_wins_over_a_dotenv_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OWNED_BY=file\nSYNC_WORKERS=7\n")
    monkeypatch.setenv("OWNED_BY", "environment")

    settings = Settings.load()

    assert (settings.owned_by, settings.sync_workers) == ("environment", 7)


def test_a_wrong_value_in_a_dotenv_file_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SYNC_WORKERS=many\n")

    with pytest.raises(SettingsError, match="SYNC_WORKERS is 'many'"):
        Settings.load()


def test_reading_the_settings_leaves_the_environment_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("OWNED_BY=file\n")
    monkeypatch.delenv("OWNED_BY", raising=False)

    assert Settings.load().owned_by == "file"
    (tmp_path / ".env").unlink()
    assert Settings.load().owned_by == "custom"


def test_the_example_lists_exactly_the_settings_with_their_defaults() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = [line.removeprefix("#").strip() for line in lines if "=" in line]

    listed = dict(line.split("=", 1) for line in example)

    assert list(listed) == [name.upper() for name in Settings.__struct_fields__]
    assert Settings.load({name: value.partition(" #")[0].strip() for name, value in listed.items()}) == Settings()


def test_the_example_can_be_copied_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())

    assert dotenv_values(".env") == dotenv_values(ROOT / ".env.example")
    assert Settings.load() == Settings()
