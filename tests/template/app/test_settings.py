"""Settings: the bounds of each, and where they are read from."""

import os
from pathlib import Path
from typing import Any

import pytest
from click import ClickException

from app.settings import Settings, SettingsError, ignored_variables

AT_LEAST_1 = ["MAX_BODY_SIZE", "MAX_HEADER_SIZE", "MAX_CONCURRENT_COMPLETIONS", "SYNC_WORKERS", "RESPONSES_MEMORY"]
AT_LEAST_0 = ["MAX_JSON_DEPTH", "MAX_MESSAGES", "COMPLETION_TIMEOUT", "KEEP_ALIVE_INTERVAL", "SHUTDOWN_GRACE"]
AT_LEAST_0 += ["REQUESTS_PER_MINUTE", "RESPONSES_EXPIRE", "MAX_EMBEDDING_INPUTS", "MAX_EMBEDDING_LENGTH"]
LOWEST = dict.fromkeys(AT_LEAST_1, 1) | dict.fromkeys(AT_LEAST_0, 0)
SECONDS = ["COMPLETION_TIMEOUT", "KEEP_ALIVE_INTERVAL", "SHUTDOWN_GRACE", "REQUEST_TIMEOUT", "WRITE_TIMEOUT"]
SWITCHES = ["PUBLIC_DOCS", "FINISH_WITHOUT_CLIENT", "STORE_RESPONSES", "METRICS", "TRACING", "PLAYGROUND"]
TEXTS = ["OWNED_BY", "REDIS_URL", "OPENAI_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY", "RAG_FOLDER", "LOCAL_MODEL_PATH"]
RIGHT: list[tuple[str, str, Any]] = [
    *((name, str(value), value) for name, value in LOWEST.items()),
    *((name, "2.5", 2.5) for name in SECONDS),
    *((name, text, text == "true") for name in SWITCHES for text in ("true", "false")),
    *((name, "a, b", "a, b") for name in TEXTS),
    ("REQUESTS_PER_MINUTE", "1000000", 1_000_000),
    ("ALLOWED_HOSTS", "a.example.com, *.example.org,", ("a.example.com", "*.example.org")),
    ("CORS_ORIGINS", "https://chat.example.com", ("https://chat.example.com",)),
    *(("ROOT_PATH", text, "/llm/a") for text in ("/llm/a", "llm/a/")),
    *(("REASONING_FIELD", name, name) for name in ("reasoning_content", "reasoning", "both")),
    *(("LOG_LEVEL", level, level) for level in ("DEBUG", "INFO", "WARNING", "ERROR")),
    *(("LOG_FORMAT", form, form) for form in ("auto", "json", "text")),
]
WRONG = [
    *((name, str(value - 1)) for name, value in LOWEST.items()),
    *((name, "perhaps") for name in SWITCHES),
    *((name, value) for name in SECONDS for value in ("soon", "nan")),
    ("REASONING_FIELD", "thoughts"),
    ("MAX_BODY_SIZE", "20 MB"),
    ("MAX_CONCURRENT_COMPLETIONS", "null"),
    ("SYNC_WORKERS", "1.5"),
    ("SYNC_WORKERS", "1001"),
    ("REQUESTS_PER_MINUTE", "1000001"),
    ("REQUEST_TIMEOUT", "0"),
    ("ALLOWED_HOSTS", ","),
    *(("CORS_ORIGINS", text) for text in (" , ", "chat.example.com", "https://chat.example.com/")),
    *(("ALLOWED_HOSTS", text) for text in ("http://localhost", "localhost:8000", "a@b", "bücher.example", "*b", "a*")),
    ("ROOT_PATH", "https://example.com/llm"),
    ("LOG_LEVEL", "loud"),
    ("LOG_FORMAT", "xml"),
]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment nor a `.env` says anything."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(name.upper(), raising=False)


def test_each_setting_takes_what_is_within_its_bounds() -> None:
    for name, text, value in RIGHT:
        assert Settings.load({name: text}) == Settings(**{name.lower(): value}), name
    keys = {"api_keys", "api_keys_file"}  # whose tests stand in `test_keys.py`
    assert {name.lower() for name, _, _ in RIGHT} == {*Settings.__struct_fields__} - keys


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_beyond_them_is_refused_with_a_sentence_that_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({name: value})
    assert isinstance(caught.value, ClickException)  # which the command line shows without a traceback
    assert caught.value.message.startswith(f"{name} is {value!r}")


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("LOG_LEVEL", "DEBUG, INFO, WARNING or ERROR"),
        ("LOG_FORMAT", "auto, json or text"),
        ("METRICS", "true or false"),
        ("MAX_MESSAGES", "a whole number of 0 or more"),
        ("SYNC_WORKERS", "a whole number of 1 or more, at most 1000"),
        ("REQUESTS_PER_MINUTE", "a whole number of 0 or more, at most 1000000"),
        ("REQUEST_TIMEOUT", "a number above 0"),
        ("COMPLETION_TIMEOUT", "a number of 0 or more"),
        ("ROOT_PATH", "a path like /llm"),
        ("CORS_ORIGINS", r"\*, or one or more like https://chat\.example\.com, separated by commas"),
        ("ALLOWED_HOSTS", r"\*, or one or more like api\.example\.com or \*\.example\.com, separated by commas"),
    ],
)
def test_a_refused_value_is_told_what_it_must_be(name: str, allowed: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} is 'very loud', but it must be {allowed}\. Change {name}"):
        Settings.load({name: "very loud"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("API_KEY", "API_KEYS"),
        ("APIKEYS", "API_KEYS"),
        ("api_keys", "API_KEYS"),
        ("ALLOWED_HOST", "ALLOWED_HOSTS"),
        ("REQUESTS_PER_MINUTES", "REQUESTS_PER_MINUTE"),
        *((name, None) for name in ("HF_TOKEN", "AZURE_OPENAI_API_KEY", "OPENAI_API_BASE", "LITESTAR_PORT")),
        *((name.upper(), None) for name in Settings.__struct_fields__),
    ],
)
def test_a_name_in_a_dotenv_file_that_is_nearly_a_setting_is_refused(
    tmp_path: Path, name: str, meant: str | None
) -> None:
    (tmp_path / ".env").write_text(f"{name}=\n")
    if meant is None:
        assert Settings.load() == Settings()
        return
    with pytest.raises(SettingsError, match=f"^{name} in .env is no setting, but {meant} is one"):
        Settings.load()


def test_a_subclass_with_settings_of_its_own_loads_both() -> None:
    class Mine(Settings, frozen=True, kw_only=True):
        extra: str = ""

    assert Mine.load({"OWNED_BY": "me", "EXTRA": "more"}) == Mine(owned_by="me", extra="more")


def test_all_that_is_wrong_is_told_in_one_error_a_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("API_KEY=sk\nLOG_LEVEL=loud\nALLOWED_HOST=localhost\n")
    monkeypatch.setenv("SYNC_WORKERS", "0")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    lines = caught.value.message.split("\n")
    assert [line.partition(" ")[0] for line in lines] == ["API_KEY", "ALLOWED_HOST", "SYNC_WORKERS", "LOG_LEVEL"]


def test_a_dotenv_file_is_read_each_time_and_leaves_the_environment_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OWNED_BY=file\n")
    assert Settings.load().owned_by == "file"
    assert "OWNED_BY" not in os.environ
    (tmp_path / ".env").unlink()
    assert Settings.load() == Settings.load({}) == Settings()


def test_names_in_a_dotenv_file_that_begin_like_a_setting_are_warned_of_and_those_of_others_are_not(
    tmp_path: Path,
) -> None:
    unknown = ["MAX_BODY", "RESPONSES_TTL", "LOG_FILE", "RAG_TOP_K", "PLAYGROUND_TITLE"]
    others = ["OPENAI_ORG_ID", "REDIS_PASSWORD", "API_URL", "PUBLIC_NAME", "MAXIMUM", "HF_TOKEN", "DATABASE_URL"]
    (tmp_path / ".env").write_text("".join(f"{name}=1\n" for name in [*unknown, *others, "MAX_MESSAGES", "METRICS"]))

    assert [sentence.partition(" in .env is no setting")[0] for sentence in ignored_variables()] == unknown


@pytest.mark.parametrize(
    ("name", "meant"),
    [("API_KEY", "API_KEYS"), ("api_keys", "API_KEYS"), ("ALLOWED_HOST", "ALLOWED_HOSTS")]
    + [(name, None) for name in ("MAX_BODY", "LOG_FILE", "OPENAI_ORG_ID", "REDIS_PORT", "LOCAL_PATH", "API_KEYS")],
)
def test_a_name_in_the_environment_that_is_nearly_a_setting_is_warned_of_unless_the_setting_is_set(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str | None
) -> None:
    for other in os.environ:
        monkeypatch.delenv(other)
    monkeypatch.setenv(name, "1")

    warnings = [*ignored_variables()]
    assert warnings == (
        [f"{name} in the environment is no setting, and is ignored. {meant} is one, and is not set."] if meant else []
    )
    if meant:
        monkeypatch.setenv(meant, "2")
        assert not [*ignored_variables()]
