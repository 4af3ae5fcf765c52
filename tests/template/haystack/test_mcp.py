"""An agent whose tools are those of a server of MCP, which is started for it."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from haystack.components.agents import Agent

from app.haystack.model import haystack_component
from tests.conftest import Serve, ask
from tests.template.haystack.answers import answer_of
from tests.template.haystack.generators import AsyncGenerator, calling, each_mode, finished, says

SERVER = Path(__file__).with_name("mcp_server.py")


def script(messages: Any) -> Any:
    """Call the tool, and then say what it returned."""
    if (result := messages[-1].tool_call_result) is not None:
        return says(str(result.result))(messages)
    return [calling(0, '{"city": "Paris"}', id="call_1", name="weather"), finished("tool_calls")]


@each_mode
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_agent_calls_the_tools_of_a_server(serve: Serve, stream: bool) -> None:
    mcp = pytest.importorskip("haystack_integrations.tools.mcp", reason="the group `template` is not installed")
    tools = mcp.MCPToolset(mcp.StdioServerInfo(command=sys.executable, args=[str(SERVER)]))
    client = serve(haystack_component(Agent(chat_generator=AsyncGenerator(script), tools=tools)))
    with ThreadPoolExecutor() as clients:
        answers = [answer_of(each) for each in clients.map(lambda _: ask(client, stream=stream), range(3))]

    assert [("Rain in Paris." in str(answer), answer == answers[0]) for answer in answers] == [(True, True)] * 3
    tools.close()
