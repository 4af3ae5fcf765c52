"""The project's application with Haystack models of the tests beside its own, each made when it is first asked for."""

import threading
from typing import Any

from haystack import Document, Pipeline, component
from haystack.components.agents import Agent
from haystack.components.builders import ChatPromptBuilder
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.tools.tool import Tool
from litestar import Litestar

from app.app import create_app as create_project_app
from app.haystack.model import HaystackModel, haystack_component, haystack_pipeline
from app.pipelines import pipelines
from app.settings import Settings
from tests.template.e2e.journal import JournalController, Run, run_of
from tests.template.e2e.waiting import TORRENT_ITEM
from tests.template.haystack.endless import AsyncEndless, AsyncGate, SyncEndless, SyncGate
from tests.template.haystack.generators import (
    AsyncGenerator,
    SyncGenerator,
    calling,
    echo,
    finished,
    in_turn,
    says,
    thought,
)

__all__ = ["create_app"]

MADE = run_of([{"role": "user", "content": "made"}])
PROMPT = [ChatMessage.from_user("{% for d in documents %}{{ d.content }} {% endfor %}{{ question }}")]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CALL = [calling(0, '{"city": "Rome"}', id="call_a", name="weather"), finished("tool_calls", prompt=3, completion=5)]
CALLS = [calling(0, '{"x": 1}', id="call_a", name="first"), calling(1, "{}", id="call_b", name="second")]
FULL = says(thought("Hm."), "Two ", "calls.", *CALLS, finished("tool_calls", prompt=3, completion=5))


def run_of_chat(messages: list[ChatMessage]) -> Run:
    """The run whose key is what the user said last."""
    return run_of([{"role": "user", "content": messages[-1].text}])


@component
class Closing(AsyncGenerator):
    """A generator that notes what is made of it, and where."""

    def warm_up(self) -> None:
        """Load, in a thread."""
        MADE.note("warmed up" if threading.current_thread() is not threading.main_thread() else "held the loop")

    async def close_async(self) -> None:
        """Tell it where it can still be read when the server has gone."""
        print("The generator was closed", flush=True)  # noqa: T201 - the log is what remains


@pipelines.factory("haystack-made")
def made(settings: Settings) -> HaystackModel:
    MADE.note("made" if threading.current_thread() is not threading.main_thread() else "held the loop")
    return haystack_component(Closing(echo))


@pipelines.factory("haystack-rag")
def rag() -> HaystackModel:
    store = InMemoryDocumentStore()
    store.write_documents([Document(content="Cats purr.", meta={"name": "cats.md"})])
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(store))
    pipeline.add_component("prompt", ChatPromptBuilder(PROMPT, required_variables="*"))
    pipeline.add_component("llm", AsyncGenerator(echo))
    pipeline.connect("retriever.documents", "prompt.documents")
    pipeline.connect("prompt.prompt", "llm.messages")
    return haystack_pipeline(pipeline, documents="retriever.documents")


@pipelines.factory("haystack-agent")
def agent() -> HaystackModel:
    tool = Tool(name="weather", description="", parameters=SCHEMA, function=lambda city: f"Rain in {city}.")
    script = in_turn(says("Let me look.", *CALL), says("It ", "rains.", finished(prompt=10, completion=2)))
    return haystack_component(Agent(chat_generator=AsyncGenerator(script), tools=[tool]))


def gated(gate: Any) -> HaystackModel:
    """A pipeline that waits before its generator."""
    pipeline = Pipeline()
    pipeline.add_component("gate", gate)
    pipeline.add_component("llm", AsyncEndless(run_of_chat))
    pipeline.connect("gate.messages", "llm.messages")
    return haystack_pipeline(pipeline)


for kind, scripted, endless, gate in (
    ("async", AsyncGenerator, AsyncEndless, AsyncGate),
    ("sync", SyncGenerator, SyncEndless, SyncGate),
):
    pipelines.add(f"haystack-{kind}", haystack_component(scripted(FULL)))
    pipelines.add(f"haystack-echo-{kind}", haystack_component(scripted(echo)))
    pipelines.add(f"haystack-endless-{kind}", haystack_component(endless(run_of_chat)))
    pipelines.add(f"haystack-agent-{kind}", haystack_component(Agent(chat_generator=endless(run_of_chat))))
    pipelines.add(f"haystack-faithful-{kind}", haystack_component(endless(run_of_chat)), outlives_client=True)
    pipelines.add(f"haystack-torrent-{kind}", haystack_component(endless(run_of_chat, TORRENT_ITEM, 0)))
    pipelines.add(f"haystack-gated-{kind}", gated(gate(run_of_chat)))


def create_app() -> Litestar:
    """Compose the application that `litestar --app tests.template.e2e.haystack_serving:create_app run` serves."""
    app = create_project_app()
    app.register(JournalController)
    return app
