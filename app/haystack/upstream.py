"""Chat generator for an OpenAI-compatible upstream: OpenAI itself, Ollama, vLLM, or another one of these servers."""

from typing import Any

import httpx
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.utils import Secret

from app.services import Body
from app.settings import Settings

__all__ = ["upstream_generator", "upstream_parameters"]

OPENAI = "https://api.openai.com/v1"
TIMEOUT = 600.0  # seconds without a byte, as in the client of OpenAI
SET_BY_GENERATOR = frozenset({"model", "messages", "n", "stream"})


def upstream_generator(settings: Settings) -> OpenAIChatGenerator:
    """Return the generator that asks the upstream of the settings."""
    return OpenAIChatGenerator(
        api_key=Secret.from_token(settings.openai_api_key or "none"),
        model=settings.openai_model,
        api_base_url=settings.openai_base_url or OPENAI,  # otherwise the client would read the environment
        timeout=TIMEOUT,
        max_retries=0,  # our client decides whether to retry
        http_client_kwargs={"verify": httpx.create_ssl_context()},  # which takes too long on the event loop
    )


def upstream_parameters(body: Body) -> dict[str, Any]:
    """Return all fields of a request, known to us or not, as the client sent them."""
    extra = {name: value for name, value in body.items() if name not in SET_BY_GENERATOR}
    return {"generation_kwargs": {"extra_body": extra}}
