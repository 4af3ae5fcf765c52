"""Any OpenAI-compatible server as a chat generator: OpenAI itself, Ollama, vLLM, or another one of these."""

from typing import Any

import httpx
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.utils import Secret

from app.services import Body
from app.settings import Settings

__all__ = ["upstream_generator", "upstream_parameters"]

OURS = frozenset({"model", "messages", "n", "stream"})  # which the generator sends itself
OPENAI = "https://api.openai.com/v1"
TIMEOUT = 600.0  # seconds without a byte, as OpenAI's own client has it


def upstream_generator(settings: Settings) -> OpenAIChatGenerator:
    """The generator for the upstream of the settings."""
    return OpenAIChatGenerator(
        api_key=Secret.from_token(settings.openai_api_key or "none"),
        model=settings.openai_model,
        api_base_url=settings.openai_base_url or OPENAI,  # or the client would read the environment
        timeout=TIMEOUT,
        max_retries=0,  # the client knows better whether to ask again
        http_client_kwargs={"verify": httpx.create_ssl_context()},  # which takes too long for the event loop
    )


def upstream_parameters(body: Body) -> dict[str, Any]:
    """All that a request says, known to us or not, as the client sent it."""
    return {"generation_kwargs": {"extra_body": {name: value for name, value in body.items() if name not in OURS}}}
