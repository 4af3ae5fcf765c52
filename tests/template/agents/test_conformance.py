"""An agent of each framework keeps OpenAI's contract: the tests of every model, for these."""

from collections.abc import Iterator

import httpx
import pytest

pytest.importorskip("agents", reason="needs the extra `openai-agents`")
pytest.importorskip("langgraph", reason="needs the extra `langgraph`")
pytest.importorskip("pydantic_ai", reason="needs the extra `pydantic-ai`")

from app.model import Body, Messages
from app.registry import Pipelines, RegisteredModel
from tests.conftest import PATIENCE, Asked, live
from tests.template.agents.frameworks import FRAMEWORKS, calling
from tests.template.agents.test_agents import LOOK, RAINS
from tests.test_conformance import *  # noqa: F403 - all its tests


def upstream(model: str, messages: Messages, body: Body) -> Iterator[object]:
    """Call the agent's own tool, or twice that of the client if it has offered one; then answer."""
    if messages[-1]["role"] == "tool":
        yield from RAINS
    elif any(tool["function"]["name"] == "get_weather" for tool in body["tools"]):
        for index in range(2):
            yield calling("get_weather", '{"city": "Rome"}', f"call_{index}", index)
    else:
        yield from LOOK


@pytest.fixture(scope="module")
def server() -> Iterator[httpx.Client]:
    models = Pipelines()
    with live(upstream) as asked:
        for name, framework in FRAMEWORKS.items():
            models.add(name, framework(str(asked.base_url)))
        with live(models) as client, httpx.Client(base_url=str(client.base_url), timeout=PATIENCE) as http:
            yield http


@pytest.fixture(scope="module", params=FRAMEWORKS)
def asked(request: pytest.FixtureRequest, server: httpx.Client) -> Asked:
    return Asked(RegisteredModel(name=request.param, function=upstream, is_factory=False), server)
