"""Every knob of the server, read once from the environment and from `.env`."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from click import ClickException
from dotenv import dotenv_values
from msgspec import Meta, Struct

from app.keys import Keys, KeysFile
from app.web.logs import LogFormat

__all__ = ["Secret", "Settings", "SettingsError"]

Count = Annotated[int, Meta(ge=1)]
Limit = Annotated[int, Meta(ge=0)]
Names = Annotated[tuple[str, ...], Meta(min_length=1)]  # with commas between them
Seconds = Annotated[float, Meta(ge=0)]


class SettingsError(ClickException):
    """A variable has a value that it cannot have; the command line shows the sentence alone."""


class Secret(str):
    """A text that no `repr` shows, as it may hold a password."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(…)"


class Settings(Struct, frozen=True, kw_only=True):
    """The settings. Each is read from the variable of its name in upper case.

    Args:
        api_keys: who may enter, by hash; without any, everybody may.
        api_keys_file: likewise, from a file.
        playground: whether there is a page at `/` that asks the models.
        public_docs: whether `/schema` needs no key.
        requests_per_minute: for each key, or each client's address without keys; 0 is no limit.
        redis_url: where rate limits are counted and responses kept for all processes; in memory unless given.
        allowed_hosts: names that the server answers to; to any unless given.
        cors_origins: whose pages may use the server from a browser.
        owned_by: the owner of models that name none.
        reasoning_field: the field that reasoning goes out in; clients differ.
        max_body_size: of a request, in bytes.
        max_header_size: of a request's first line and headers, in bytes.
        max_json_depth: how deep a body may be nested; 0 is no limit.
        max_messages: of a request; 0 is no limit.
        store_responses: whether responses are kept, for clients to go on from.
        responses_expire: seconds until they are forgotten; 0 is never.
        responses_memory: bytes that they may take in memory; the oldest make room.
        max_concurrent_completions: more at once are answered 503.
        sync_workers: how many threads run sync code; more at once are answered 503.
        completion_timeout: seconds that a completion may take; 0 is no limit.
        finish_without_client: whether a completion runs to its end although its client has left.
        keep_alive_interval: seconds of silence after which a stream sends a comment; 0 is never.
        request_timeout: seconds in which a request must have arrived, or its connection is cut.
        shutdown_grace: seconds that completions may take to finish when the server is told to stop.
        log_level: of the project's own logger.
        log_format: `json`, `text`, or `auto`: text if a person reads it.
        metrics: whether there are figures for Prometheus at `/metrics`.
        tracing: whether requests and completions are traced by OpenTelemetry.
        openai_model: what the model `chat` asks upstream for; it is offered when this is set.
        openai_base_url: of the upstream; OpenAI's own unless given.
        openai_api_key: for the upstream, if it wants one.
        local_model_path: a GGUF file for the model `local`; the one that its package brings unless given.
        rag_folder: the folder whose Markdown and text files `rag` answers from; this project's README unless given.
    """

    api_keys: Keys = Keys()
    api_keys_file: KeysFile = KeysFile()
    playground: bool = True
    public_docs: bool = False
    requests_per_minute: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    redis_url: Secret = Secret("")
    allowed_hosts: Names = ()
    cors_origins: Names = ()
    owned_by: str = "custom"
    reasoning_field: Literal["reasoning_content", "reasoning", "both"] = "reasoning_content"
    max_body_size: Count = 20_000_000
    max_header_size: Count = 65536
    max_json_depth: Limit = 100
    max_messages: Limit = 0
    store_responses: bool = True
    responses_expire: Limit = 86400
    responses_memory: Count = 100_000_000
    max_concurrent_completions: Count = 2000
    sync_workers: Count = 500
    completion_timeout: Seconds = 0
    finish_without_client: bool = False
    keep_alive_interval: Seconds = 15
    request_timeout: Annotated[float, Meta(gt=0)] = 30
    shutdown_grace: Seconds = 30
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: LogFormat = "auto"
    metrics: bool = False
    tracing: bool = False
    openai_model: str = ""
    openai_base_url: str = ""
    openai_api_key: Secret = Secret("")
    local_model_path: str = ""
    rag_folder: str = ""

    @classmethod
    def load(cls, environment: Mapping[str, str | None] | None = None) -> "Settings":
        """Read the settings; a variable that is empty counts as not set.

        Args:
            environment: the variables; by default those of the process, then those of `./.env`.

        Raises:
            SettingsError: a variable has a wrong value.
        """
        if environment is None:
            environment = {**dotenv_values(".env"), **os.environ}
        raw = {name: value for name in cls.__struct_fields__ if (value := environment.get(name.upper()))}
        settings: dict[str, Any] = {}
        for name, value in raw.items():
            settings[name] = _parsed(name, value, cls.__annotations__[name])
        return cls(**settings)

    @property
    def keys(self) -> Keys:
        """All keys."""
        return Keys(self.api_keys | self.api_keys_file)


def _parsed(name: str, value: str, annotation: Any) -> Any:
    raw = [part.strip() for part in value.split(",") if part.strip()] if annotation is Names else value
    try:
        return msgspec.convert(raw, annotation, strict=False, dec_hook=_custom)
    except msgspec.ValidationError as error:
        variable = name.upper()
        holds = "" if annotation is Keys else f" is {value!r}, which"
        raise SettingsError(
            f"{variable}{holds} does not do: {str(error)[:1].lower()}{str(error)[1:]}. "
            f"Change {variable} in the environment or in .env, or remove it for its default."
        ) from None


def _custom(type: Any, value: str) -> Any:
    return Secret(value) if type is Secret else type.parse(value)
