"""The settings of the server, read once from the environment and from `.env`."""

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args, get_type_hints

import msgspec
from click import ClickException
from dotenv import dotenv_values
from msgspec import Meta, Struct
from msgspec.inspect import BoolType, FloatType, IntType, LiteralType, VarTupleType, type_info

from app.keys import Keys, KeysFile

__all__ = ["LogFormat", "Secret", "Settings", "SettingsError", "ignored_variables"]

LogFormat: TypeAlias = Literal["auto", "json", "text"]
Count = Annotated[int, Meta(ge=1)]
Limit = Annotated[int, Meta(ge=0)]  # 0 is no limit
HOST = r"\[[0-9a-fA-F:.]+\]|[0-9A-Za-z_.~!$&'()*+,;=%-]{1,255}"  # as in the header `host`, without a port
ORIGIN = r"^(\*|null|[a-z][a-z0-9+.-]*://[^/\s]+)$"
# Separated by commas
Hosts = Annotated[tuple[Annotated[str, Meta(pattern=rf"^(?!\*[^.]|.+\*)({HOST})$")], ...], Meta(min_length=1)]
Origins = Annotated[tuple[Annotated[str, Meta(pattern=ORIGIN)], ...], Meta(min_length=1)]
Seconds = Annotated[float, Meta(ge=0)]

BOUNDS = {"ge": " of {:.12g} or more", "gt": " above {:.12g}", "le": " at most {:.12g}", "lt": " below {:.12g}"}
COMMON_WORDS = {"API", "OPENAI", "PUBLIC", "REDIS"}  # with which variables of other programs begin too


class SettingsError(ClickException):
    """Settings are wrong; the command line prints a sentence about each of them without a traceback."""


class Secret(str):
    """A string whose `repr` does not show it, as it may hold a password."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(…)"


class RootPath(str):
    """A path with a slash before it and none after it; empty if there is none."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the path of a text that has slashes at its ends or not; raise ValueError if it is no path."""
        path = text.strip("/")
        if re.search(r"[?#\s]|//", path):
            raise ValueError("It must be a path like /llm")
        return cls(f"/{path}" if path else "")


class Settings(Struct, frozen=True, kw_only=True):
    """The settings. Each is read from the variable of its name in upper case; `.env.example` describes them all."""

    api_keys: Keys = Keys()
    api_keys_file: KeysFile = KeysFile()
    public_docs: bool = False
    cors_origins: Origins = ()
    root_path: RootPath = RootPath("")
    owned_by: str = "custom"
    reasoning_field: Literal["reasoning_content", "reasoning", "both"] = "reasoning_content"
    max_body_size: Count = 20_000_000  # bytes
    max_header_size: Count = 65536  # bytes
    max_json_depth: Limit = 100
    max_messages: Limit = 0
    max_concurrent_completions: Count = 2000
    sync_workers: Annotated[int, Meta(ge=1, le=1000)] = 500  # with 2,000 threads in turns the event loop starves
    completion_timeout: Seconds = 0
    finish_without_client: bool = False
    keep_alive_interval: Seconds = 15
    request_timeout: Annotated[float, Meta(gt=0)] = 30
    write_timeout: Seconds = 60
    shutdown_grace: Seconds = 30
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: LogFormat = "auto"
    redis_url: Secret = Secret("")  # pack: limits, responses
    requests_per_minute: Annotated[int, Meta(ge=0, le=1_000_000)] = 0  # pack: limits
    allowed_hosts: Hosts = ()  # pack: limits
    store_responses: bool = True  # pack: responses
    responses_expire: Limit = 86400  # pack: responses
    responses_memory: Count = 100_000_000  # pack: responses
    max_embedding_inputs: Limit = 2048  # pack: embeddings
    max_embedding_length: Limit = 0  # pack: embeddings
    metrics: bool = False  # pack: telemetry
    tracing: bool = False  # pack: telemetry
    playground: bool = True  # pack: playground
    openai_model: str = ""  # pack: haystack
    openai_base_url: str = ""  # pack: haystack
    openai_api_key: Secret = Secret("")  # pack: haystack
    rag_folder: str = ""  # pack: haystack
    local_model_path: str = ""  # pack: local

    @classmethod
    def load(cls, environment: Mapping[str, str | None] | None = None) -> "Settings":
        """Read the settings; an empty variable counts as not set, so that of `./.env` holds.

        Args:
            environment: The variables; by default those of the process, then those of `./.env`.

        Raises:
            SettingsError: Variables have wrong values, or names in `./.env` are nearly those of settings.
        """
        wrong = []
        if environment is None:
            written = _dotenv()
            wrong = [
                f"{name} in .env is no setting, but {nearest} is one. Write that, or another name."
                for name in written
                if (nearest := _nearest_setting(name))
            ]
            environment = written | {name: value for name, value in os.environ.items() if value}
        values = {}
        for name, annotation in get_type_hints(cls, include_extras=True).items():
            if value := environment.get(name.upper()):
                try:
                    values[name] = _parsed(name, value, annotation)
                except SettingsError as error:
                    wrong.append(error.message)
        if wrong:
            raise SettingsError("\n".join(wrong))
        return cls(**values)

    @property
    def keys(self) -> Keys:
        """All API keys."""
        return Keys(self.api_keys | self.api_keys_file)


SETTINGS = [field.upper() for field in Settings.__struct_fields__]


def ignored_variables() -> Iterator[str]:
    """Yield a sentence for each variable that looks like a setting and is none.

    In `.env`, these are the names that begin like a setting; in the environment, which other programs share, those that
    are nearly a setting which is not set.
    """
    written = _dotenv()
    words = {name.partition("_")[0] for name in SETTINGS} - COMMON_WORDS
    for name in written:
        if name not in SETTINGS and name.partition("_")[0] in words:
            yield f"{name} in .env is no setting, and is ignored: .env.example lists the settings."
    for name in os.environ:
        nearest = _nearest_setting(name)
        if nearest and not (os.environ.get(nearest) or written.get(nearest)):
            yield f"{name} in the environment is no setting, and is ignored. {nearest} is one, and is not set."


def _dotenv() -> dict[str, str | None]:
    return dotenv_values(".env", encoding="utf-8-sig")


def _nearest_setting(name: str) -> str | None:
    """Return the setting that a name is nearly; None if it is one, or is like none."""
    nearest = [] if name in SETTINGS else get_close_matches(name.upper(), SETTINGS, 1, cutoff=0.85)
    return nearest[0] if nearest else None


def _parsed(name: str, value: str, annotation: Any) -> Any:
    is_list = annotation in (Hosts, Origins)
    raw = [part.strip() for part in value.split(",") if part.strip()] if is_list else value
    try:
        return msgspec.convert(raw, annotation, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        variable = name.upper()
        fact = f"{str(error)[:1].lower()}{str(error)[1:]}"
        if annotation in (Keys, KeysFile):
            wrong = f"cannot be used: {fact}"  # without the value: a key may stand there by mistake
        else:
            wrong = f"is {value!r}, but {_demand(annotation) or fact}"
        raise SettingsError(
            f"{variable} {wrong}. Change {variable} in the environment or in .env, or remove it for its default."
        ) from None


def _demand(annotation: Any) -> str:
    """Return what a value must be; empty for a type whose `parse` says so itself."""
    match info := type_info(annotation):
        case LiteralType():
            *others, last = get_args(annotation)
            return f"it must be {', '.join(others)} or {last}"
        case BoolType():
            return "it must be true or false"
        case IntType() | FloatType():
            kind = "a whole number" if isinstance(info, IntType) else "a number"
            bounds = [
                words.format(bound) for name, words in BOUNDS.items() if (bound := getattr(info, name)) is not None
            ]
            return f"it must be {kind}{','.join(bounds)}"
        case VarTupleType():
            like = "https://chat.example.com" if annotation is Origins else "api.example.com or *.example.com"
            return f"it must be *, or one or more like {like}, separated by commas"
    return ""


def _decode(type: Any, value: str) -> Any:
    return Secret(value) if type is Secret else type.parse(value)
