"""The shapes of pipelines and agents that people bring: each gives the same answer whole and streamed."""

import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import pytest
from haystack import Document, Pipeline, SuperComponent, component
from haystack.components.agents import Agent
from haystack.components.builders import AnswerBuilder, ChatPromptBuilder, PromptBuilder
from haystack.components.converters import OutputAdapter
from haystack.components.generators.chat import LLM, FallbackChatGenerator, MockChatGenerator
from haystack.components.joiners import BranchJoiner, DocumentJoiner, ListJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.components.routers import ConditionalRouter, LLMMessagesRouter
from haystack.components.validators import JsonSchemaValidator
from haystack.dataclasses import ChatMessage, StreamingChunk
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.hooks.human_in_the_loop import AlwaysAskPolicy, BlockingConfirmationStrategy, ConfirmationHook
from haystack.hooks.human_in_the_loop.dataclasses import ConfirmationUIResult
from haystack.tools import Toolset
from haystack.tools.tool import Tool
from haystack.utils.async_utils import _execute_component_async
from msgspec import Struct

from app.haystack.events import report_progress
from app.haystack.model import HaystackModel, haystack_component, haystack_pipeline
from schemas.chat import Json
from tests.conftest import Serve, ask
from tests.template.asgi import AsgiClient, running, until
from tests.template.e2e.journal import Run
from tests.template.haystack.answers import Answer, answer_from, answer_of, events_of, usage_of
from tests.template.haystack.endless import AsyncEndless
from tests.template.haystack.generators import (
    AsyncGenerator,
    Kind,
    Messages,
    Script,
    Step,
    SyncGenerator,
    calling,
    each_kind,
    each_mode,
    finished,
    in_turn,
    says,
)
from tests.template.haystack.test_pipelines import pipeline_of

Make: TypeAlias = Callable[[Script], Any]
Made: TypeAlias = tuple[Any, Json]  # a pipeline or a component, and the options of its model

CATS = Document(content="Cats purr.", meta={"name": "cats.md"})
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
RAG = "{% for d in documents %}{{ d.content }} {% endfor %}{{ query }}"
LOOK: Json = {"type": "object", "properties": {"word": {"type": "string"}}}


def echo(messages: Messages) -> Iterable[Step]:
    """Repeat the last message in two chunks, and report usage."""
    text = messages[-1].text or ""
    return says(*filter(None, (text[:3], text[3:])), finished(prompt=3, completion=2))(messages)


def prefixed(prefix: str) -> Script:
    return lambda messages: [StreamingChunk(prefix, index=0), *echo(messages)]


def call(name: str = "look") -> Script:
    """Call a tool with the question."""

    def script(messages: Messages) -> Iterable[Step]:
        arguments = json.dumps({"word": messages[-1].text})
        return says("Let me see.", calling(0, arguments, id="call_a", name=name), finished("tool_calls"))(messages)

    return script


def result(messages: Messages) -> Iterable[Step]:
    """Repeat the result of a tool."""
    results = [message.tool_call_result.result for message in messages if message.tool_call_result]
    return says("It says: ", str(results[-1]), finished(prompt=3, completion=2))(messages)


def look(word: str) -> str:
    report_progress("Half way")
    return f"<{word}>"


def tool(**options: Any) -> Tool:
    return Tool(name="look", description="", parameters=LOOK, function=options.pop("function", look), **options)


def retriever(*documents: Document) -> InMemoryBM25Retriever:
    store = InMemoryDocumentStore()
    store.write_documents([*documents])
    return InMemoryBM25Retriever(store)


def prompt(template: str = "{{ query }}", **options: Any) -> ChatPromptBuilder:
    return ChatPromptBuilder([ChatMessage.from_user(template)], required_variables="*", **options)


def route(name: str, condition: str, output: str = "{{ query }}", kind: Any = str) -> Any:
    return {"condition": condition, "output": output, "output_name": name, "output_type": kind}


@component
class TextGenerator:
    """A generator of text, not of messages, whose usage stands beside it."""

    def __init__(self, generator: Any) -> None:
        self.chat_generator = generator

    @component.output_types(replies=list[str], meta=list[dict[str, Any]])
    async def run_async(
        self, prompt: str, streaming_callback: Any = None, generation_kwargs: Json | None = None
    ) -> dict[str, Any]:
        asked = [ChatMessage.from_user(prompt)]
        arguments = {"streaming_callback": streaming_callback, "generation_kwargs": generation_kwargs}
        outputs = await _execute_component_async(self.chat_generator, messages=asked, **arguments)
        (reply,) = outputs["replies"]
        return {"replies": [reply.text], "meta": [reply.meta]}

    @component.output_types(replies=list[str], meta=list[dict[str, Any]])
    def run(self, prompt: str, streaming_callback: Any = None, generation_kwargs: Json | None = None) -> dict[str, Any]:
        raise NotImplementedError


@component
class Memory:
    """The conversations of chats by their ids."""

    @component.output_types(messages=list[ChatMessage])
    def run(self, chat: str, messages: list[ChatMessage]) -> dict[str, list[ChatMessage]]:
        return {"messages": [ChatMessage.from_user(f"{chat} {messages[-1].text}")]}


class LoadedTools(Toolset):
    """A set of tools that is loaded from a server, as one of MCP is."""

    def warm_up(self) -> None:
        if not self.tools:
            self.add(tool())


def rag(make: Make) -> Pipeline:
    return pipeline_of(
        "retriever.documents > prompt.documents",
        "prompt.prompt > llm.messages",
        retriever=retriever(CATS),
        prompt=prompt(RAG),
        llm=make(echo),
    )


def hybrid(make: Make) -> Made:
    pipeline = pipeline_of(
        "one > joiner", "other > joiner", "joiner.documents > prompt.documents", "joiner.documents > answer.documents",
        "prompt.prompt > llm.messages", "llm.replies > answer.replies",
        one=retriever(CATS), other=retriever(CATS), joiner=DocumentJoiner(),
        prompt=prompt(RAG), llm=make(echo), answer=AnswerBuilder(),
    )  # fmt: skip
    return pipeline, {"documents": "answer.answers"}


def text_generator(make: Make) -> Made:
    builder = PromptBuilder("{{ query }}", required_variables="*")
    return pipeline_of("prompt.prompt > llm.prompt", prompt=builder, llm=TextGenerator(make(echo))), {}


def before(make: Make, *connections: str, script: Script = echo, **parts: Any) -> Pipeline:
    """Return a pipeline of a prompt, a generator and what follows it."""
    return pipeline_of("prompt.prompt > llm.messages", *connections, prompt=prompt(), llm=make(script), **parts)


def pattern(make: Make) -> Made:
    answer = AnswerBuilder(pattern="Answer: (.*)")
    return before(make, "llm.replies > answer.replies", script=prefixed("Hm. Answer: "), answer=answer), {}


def adapter(make: Make) -> Made:
    adapted = OutputAdapter("{{ replies[0].text | upper }}", output_type=str)
    return before(make, "llm.replies > adapter.replies", adapter=adapted), {"output": "adapter.output"}


def reflecting(make: Make) -> Made:
    """Return a pipeline that asks again until the generator has an answer."""
    has_none = "'NO_ANSWER' in replies[0].text"
    router = ConditionalRouter(
        [
            route("again", f"{{{{ {has_none} }}}}", "{{ 'again: ' }}"),
            route("answer", f"{{{{ not {has_none} }}}}", "{{ replies }}", list[ChatMessage]),
        ],
        unsafe=True,
    )
    pipeline = pipeline_of(
        "joiner.value > prompt.start", "prompt.prompt > llm.messages", "llm.replies > router.replies",
        "router.again > joiner.value",
        joiner=BranchJoiner(str), prompt=prompt("{{ start }}{{ query }}"), router=router,
        llm=make(lambda messages: (echo if "again" in (messages[0].text or "") else says("NO_ANSWER"))(messages)),
    )  # fmt: skip
    return pipeline, {
        "inputs": lambda messages, body: {"joiner": {"value": ""}, "prompt": {"query": messages[-1].text}},
        "output": "router.answer",
    }


def validating(make: Make) -> Made:
    """Return a pipeline that asks again until the generator's reply is valid JSON."""

    def script(messages: Messages) -> Iterable[Step]:
        text = messages[-1].text or ""
        failed = re.search(r'"city": \["(.*?)"', text)
        city = json.dumps(failed[1] if failed else [text])
        return says('{"city": ', f"{city}}}", finished(prompt=3, completion=2))(messages)

    validator = JsonSchemaValidator({"type": "object", "properties": {"city": {"type": "string"}}})
    pipeline = pipeline_of(
        "joiner.value > llm.messages", "llm.replies > validator.messages", "validator.validation_error > joiner.value",
        joiner=BranchJoiner(list[ChatMessage]), llm=make(script), validator=validator,
    )  # fmt: skip
    inputs = {"inputs": lambda messages, body: {"value": messages}}
    return pipeline, {**inputs, "output": "validator.validated"}


def two_ends(make: Make) -> Made:
    router = ConditionalRouter([route("short", "{{ query|length < 3 }}"), route("long", "{{ query|length >= 3 }}")])
    return pipeline_of(
        "router.short > brief.query", "router.long > prompt.query", "prompt.prompt > llm.messages",
        "brief.prompt > other.messages",
        router=router, brief=prompt(), prompt=prompt(), llm=make(echo), other=make(says("Short")),
    ), {}  # fmt: skip


def joined_ends(make: Make) -> Made:
    pipeline, _ = two_ends(make)
    pipeline.add_component("joiner", BranchJoiner(list[ChatMessage]))
    pipeline.connect("llm.replies", "joiner.value")
    pipeline.connect("other.replies", "joiner.value")
    return pipeline, {"output": "joiner.value"}


REFUSABLE = ("router.refusal", "llm.replies")


def moderation(make: Make) -> Made:
    router = ConditionalRouter(
        [route("refusal", "{{ 'bomb' in query }}", "I will not."), route("safe", "{{ 'bomb' not in query }}")]
    )
    connections = ("router.safe > prompt.query", "prompt.prompt > llm.messages")
    return pipeline_of(*connections, router=router, prompt=prompt(), llm=make(echo)), {"output": REFUSABLE}


def moderated_reply(make: Make) -> Made:
    text = "replies[0].text"
    refusal = route("refusal", f"{{{{ 'bomb' in {text} }}}}", "I will not.")
    router = ConditionalRouter([refusal, route("safe", f"{{{{ 'bomb' not in {text} }}}}", f"{{{{ {text} }}}}")])
    return before(make, "llm.replies > router.replies", router=router), {"output": REFUSABLE}


def wrapped(make: Make) -> Made:
    return pipeline_of(rag=SuperComponent(rag(make))), {}


def mapped(make: Make) -> Made:
    query = {"query": ["retriever.query", "prompt.query"]}
    return pipeline_of(rag=SuperComponent(rag(make), query, {"llm.replies": "text"})), {"output": "rag.text"}


def wrapped_draft(make: Make) -> Made:
    inner = pipeline_of(
        "prompt.prompt > draft.messages", "draft.replies > llm.messages",
        prompt=prompt(), draft=SyncGenerator(prefixed("draft: ")), llm=make(echo),
    )  # fmt: skip
    return pipeline_of(wrapper=SuperComponent(inner)), {}


def agent(make: Make, *tools: Any, named: str = "look", **options: Any) -> Agent:
    return Agent(chat_generator=make(in_turn(call(named), result)), tools=[*tools] or [tool()], **options)


def agent_with_state(make: Make) -> Made:
    found = tool(
        function=lambda word: {"documents": [CATS], "text": f"<{word}>"},
        outputs_to_state={"documents": {"source": "documents"}},
        outputs_to_string={"source": "text"},
    )
    schema = {"documents": {"type": list[Document]}}
    return pipeline_of(agent=agent(make, found, state_schema=schema)), {"documents": "agent.documents"}


def agent_of_agents(make: Make) -> Made:
    inner = Agent(chat_generator=SyncGenerator(echo))

    def ask_inner(word: str) -> str:
        return f"<{inner.run([ChatMessage.from_user(word)])['last_message'].text}>"

    return agent(make, tool(function=ask_inner)), {}


def approval(make: Make) -> Made:
    """Return an agent whose call a person refuses."""

    class Refusing:
        def get_user_confirmation(self, *args: Any) -> ConfirmationUIResult:
            return ConfirmationUIResult("reject")

    ui: Any = Refusing()
    strategy = BlockingConfirmationStrategy(confirmation_policy=AlwaysAskPolicy(), confirmation_ui=ui)
    asks = ConfirmationHook({"look": strategy})
    return Agent(chat_generator=make(in_turn(call(), result)), tools=[tool()], hooks={"before_tool": [asks]}), {}


def memory(make: Make) -> Made:
    return pipeline_of("memory.messages > llm.messages", memory=Memory(), llm=make(echo)), {
        "inputs": lambda messages, body, headers: {
            "memory": {"chat": headers["x-openwebui-chat-id"], "messages": messages}
        }
    }


def yaml(make: Make) -> Made:
    pipeline = pipeline_of("prompt.prompt > llm.messages", prompt=prompt(), llm=MockChatGenerator())
    return Pipeline.loads(pipeline.dumps()), {}


def two_streamed(make: Make) -> Made:
    pipeline = pipeline_of(
        "prompt.prompt > draft.messages", "draft.replies > llm.messages",
        prompt=prompt(), draft=make(prefixed("Draft: ")), llm=make(echo),
    )  # fmt: skip
    return pipeline, {"streaming": ["draft", "llm"]}


def parallel(make: Make) -> Made:
    pipeline = pipeline_of(
        "asked > other.messages", "prompt > llm.messages",
        asked=prompt(), prompt=prompt(), other=make(prefixed("Other: ")), llm=make(echo),
    )  # fmt: skip
    return pipeline, {"streaming": ["other", "llm"]}


def messages_router(make: Make) -> Made:
    guard = LLMMessagesRouter(MockChatGenerator("safe"), ["unsafe", "safe"], ["unsafe", "^safe"])
    pipeline = pipeline_of("guard.safe > llm.messages", guard=guard, llm=make(echo))
    return pipeline, {"output": ["guard.unsafe", "llm.replies"]}


class Shape(Struct, frozen=True):
    """A pipeline or a component, and the answer to the question `{}`."""

    made: Callable[[Make], Any]
    content: str = "{}"
    tokens: tuple[int, int] = (3, 2)
    sources: list[str] = []
    content_given: Any = None
    is_recorded: bool = True


LOOKED = "Let me see.\n\nIt says: <{}>"
SHAPES: dict[str, Shape] = {
    "generator": Shape(lambda make: (make(echo), {})),
    "rag": Shape(lambda make: (rag(make), {"documents": "retriever.documents"}), "Cats purr. {}", sources=["cats.md"]),
    "text generator": Shape(text_generator),
    "hybrid with an answer builder": Shape(hybrid, "Cats purr. {}", sources=["cats.md"]),
    "pattern": Shape(pattern),
    "adapter": Shape(adapter, "{upper}", (0, 0)),
    "reflecting loop": Shape(reflecting, "again: {}"),
    "validation loop": Shape(validating, '{{"city": "{}"}}'),
    "router with two ends": Shape(two_ends),
    "router with joined ends": Shape(joined_ends),
    "moderation": Shape(moderation),
    "moderated reply": Shape(moderated_reply),
    "router of messages": Shape(messages_router),
    "fallback": Shape(
        lambda make: (FallbackChatGenerator([make(says(RuntimeError("Down"))), make(echo)]), {})
    ),
    "lists joined": Shape(
        lambda make: (before(make, "llm.replies > joiner", joiner=ListJoiner()), {"output": "joiner.values"})
    ),
    "super component": Shape(wrapped, "Cats purr. {}"),
    "mapped super component": Shape(mapped, "Cats purr. {}"),
    "super component of two": Shape(wrapped_draft, "draft: {}"),
    "super component of an agent": Shape(
        lambda make: (SuperComponent(pipeline_of(agent=agent(make))), {}), LOOKED
    ),
    "yaml": Shape(yaml, is_recorded=False),
    "agent": Shape(lambda make: (agent(make), {}), LOOKED),
    "agent with a state": Shape(agent_with_state, LOOKED, sources=["cats.md"]),
    "agent of agents": Shape(agent_of_agents, LOOKED),
    "loaded tools": Shape(
        lambda make: (Agent(chat_generator=make(in_turn(call(), result)), tools=LoadedTools([])), {}), LOOKED
    ),
    "approval": Shape(
        approval, "Let me see.\n\nIt says: Tool execution for 'look' was rejected by the user."
    ),
    "llm with a prompt": Shape(
        lambda make: (LLM(chat_generator=make(echo), user_prompt="Q: {{ query }}"), {}), "Q: {}"
    ),
    "agent with a prompt": Shape(
        lambda make: (Agent(chat_generator=make(echo), user_prompt="Q: {{ question }}"), {}), "Q: {}"
    ),
    "memory": Shape(memory, "chat-7 {}"),
    "images": Shape(lambda make: (make(echo), {}), content_given=lambda text: [{"type": "text", "text": text}, IMAGE]),
    "two streamed": Shape(two_streamed, "Draft: {}\n\nDraft: {}", (6, 4)),
    "two streamed side by side": Shape(parallel, "Other: {}\n\n{}", (6, 4)),
}  # fmt: skip

each_shape = pytest.mark.parametrize("name", SHAPES)


def model_of(shape: Shape, make: Make) -> HaystackModel:
    made, options = shape.made(make)
    return haystack_pipeline(made, **options) if isinstance(made, Pipeline) else haystack_component(made)


@each_kind
@each_shape
def test_an_answer_is_the_same_whole_and_streamed_for_each_of_two_clients(serve: Serve, name: str, kind: Kind) -> None:
    shape = SHAPES[name]
    client = serve(model_of(shape, kind))
    client.headers["x-openwebui-chat-id"] = "chat-7"

    def answer(number: int) -> Answer:
        text, given = f"cats {number // 2}", shape.content_given or (lambda text: text)
        return answer_from(client, given(text), stream=number % 2 == 0)

    with ThreadPoolExecutor(4) as threads:
        answers = [*threads.map(answer, range(4))]

    expected = [shape.content.format(*[f"cats {n}"] * 2, upper=f"CATS {n}") for n in (0, 0, 1, 1)]
    assert [each.content for each in answers] == expected
    if shape.is_recorded:
        assert [each.usage for each in answers] == [usage_of(*shape.tokens)] * 4


@each_mode
@each_kind
@each_shape
def test_parameters_reach_what_makes_the_reply_and_sources_are_sent(
    serve: Serve, name: str, kind: Kind, stream: bool
) -> None:
    shape, generators = SHAPES[name], list[Any]()

    def make(script: Script) -> Any:
        generators.append(kind(script))
        return generators[-1]

    client = serve(model_of(shape, make))
    client.headers["x-openwebui-chat-id"] = "chat-7"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "cats"}]

    response = ask(client, messages=messages, temperature=0.5, stream=stream)

    assert answer_of(response).content == shape.content.format("cats", "cats", upper="CATS")
    asked = [each.generation_kwargs for generator in generators for each in generator.asked]
    assert asked == [{"temperature": 0.5}] * len(asked)
    assert asked or not shape.is_recorded
    if stream:
        cited = [event["data"]["source"]["name"] for event in events_of(response) if event["type"] == "citation"]
        assert cited == shape.sources


@pytest.mark.anyio
@each_mode
@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.is_recorded])
async def test_a_run_is_stopped_when_its_client_leaves(name: str, stream: bool) -> None:
    run = Run()
    headers = {"x-openwebui-chat-id": "chat-7"}
    model = model_of(SHAPES[name], lambda script: AsyncEndless(run))

    async with running(model) as app, AsgiClient(app, stream=stream, headers=headers) as client:
        await until(lambda: run.items)
        client.leave()
        await until(lambda: "closed" in run.events)

    assert {*run.errors} == {"CancelledError"}


def test_what_cannot_stream_within_a_super_component_is_refused_by_its_name() -> None:
    pipeline, _ = validating(AsyncGenerator)
    loop = SuperComponent(pipeline, {"value": ["joiner.value"]}, {"validator.validated": "replies"})

    with pytest.raises(ValueError, match="The component 'loop' cannot stream"):
        haystack_pipeline(pipeline_of(loop=loop), inputs=lambda messages, body: {"value": messages}, streaming="loop")
