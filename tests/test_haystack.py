"""Pack `haystack`: pipelines, chat generators and agents as models, and the models `rag` and `chat`."""

from pathlib import Path

import pytest

pytest.importorskip("haystack", reason="needs the package haystack-ai")

from haystack import Pipeline
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import MockChatGenerator
from haystack.dataclasses import ChatMessage, ToolCall

from app.haystack.model import haystack_component, haystack_pipeline
from app.haystack.models import models
from tests.conftest import Serve, ask, chunks_of, live, message_of, streamed_text, yielding


def test_a_pipeline_answers_in_both_modes_from_the_question(serve: Serve) -> None:
    prompt = [ChatMessage.from_user("You said: {{ query }}")]
    pipeline = Pipeline()
    pipeline.add_component("prompt", ChatPromptBuilder(prompt, required_variables="*"))
    pipeline.add_component("llm", MockChatGenerator())
    pipeline.connect("prompt", "llm")
    client = serve(haystack_pipeline(pipeline))

    assert message_of(ask(client))["content"] == "You said: Hello!"
    streamed = ask(client, stream=True)
    assert streamed_text(streamed) == "You said: Hello!"
    assert len(chunks_of(streamed)) > 3


def test_a_reply_keeps_its_reasoning_and_its_tool_calls(serve: Serve) -> None:
    call = ToolCall("weather", {"city": "Paris"}, id="call_1")
    reply = ChatMessage.from_assistant(reasoning="Hm.", tool_calls=[call])
    client = serve(haystack_component(MockChatGenerator(reply)))

    message = message_of(ask(client))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(ask(client, stream=True))]

    assert message["reasoning_content"] == "Hm."
    for part in (message, *(delta for delta in deltas if "tool_calls" in delta)):
        assert (part["tool_calls"][0]["id"], part["tool_calls"][0]["function"]["name"]) == ("call_1", "weather")


def test_the_model_rag_cites_the_documents_of_its_folder(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "whales.md").write_text("Whales sing.\n")
    client = serve(models, rag_folder=str(tmp_path))
    chunks = chunks_of(ask(client, "What do whales do?", model="rag", stream=True))
    (citation,) = [chunk["event"]["data"] for chunk in chunks if chunk.get("event", {}).get("type") == "citation"]
    assert (citation["document"], citation["source"]["name"]) == (["whales.md\n\nWhales sing."], "whales.md")


def test_the_model_chat_asks_the_upstream_of_the_settings(serve: Serve) -> None:
    with live(yielding("Hello", ", world")) as upstream:
        client = serve(models, openai_model="test", openai_base_url=str(upstream.base_url))
        assert message_of(ask(client, model="chat"))["content"] == "Hello, world"
        assert streamed_text(ask(client, model="chat", stream=True)) == "Hello, world"
    assert ask(client, model="chat").status_code == 502
