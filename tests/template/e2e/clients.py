"""OpenAI's own client, as the tests use it."""

from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.conftest import PATIENCE
from tests.template.e2e.server import Server

__all__ = ["async_client_of", "client_of", "says"]


def client_of(server: Server, path: str = "/v1", *, key: str = "none") -> OpenAI:
    """OpenAI's client of a server, which asks once and does not try again."""
    return OpenAI(base_url=server.url + path, api_key=key, max_retries=0, timeout=PATIENCE)


def async_client_of(server: Server) -> AsyncOpenAI:
    """The async one."""
    return AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=PATIENCE)


def says(text: str) -> list[ChatCompletionMessageParam]:
    """A conversation in which a user says one thing."""
    return [{"role": "user", "content": text}]
