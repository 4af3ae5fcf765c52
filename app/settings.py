"""Every knob of the server, read once from the environment and from `.env`."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from click import ClickException
from dotenv import dotenv_values
from msgspec import Meta, Struct

from app.logs import LogFormat

__all__ = ["Settings", "SettingsError"]

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]


class SettingsError(ClickException):
    """A variable has a value that it cannot have; the command line shows the sentence alone."""


class Settings(Struct, frozen=True, kw_only=True):
    """The settings. Each is read from the variable of its name in upper case.

    Args:
        owned_by: the owner of models that name none.
        reasoning_field: the field that reasoning goes out in; clients differ.
        max_body_size: of a request, in bytes.
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

    owned_by: str = "custom"
    reasoning_field: Literal["reasoning_content", "reasoning", "both"] = "reasoning_content"
    max_body_size: Count = 20_000_000
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
    openai_api_key: str = ""
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

    def __repr__(self) -> str:
        """All settings but the secret ones, which may be logged by accident."""
        shown = [f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if "key" not in name]
        return f"Settings({', '.join(shown)})"


def _parsed(name: str, value: str, annotation: Any) -> Any:
    try:
        return msgspec.convert(value, annotation, strict=False)
    except msgspec.ValidationError as error:
        variable = name.upper()
        raise SettingsError(
            f"{variable} is {value!r}, which does not do: {str(error)[:1].lower()}{str(error)[1:]}. "
            f"Change {variable} in the environment or in .env, or remove it for its default."
        ) from None
