"""Pipelines as models: what they are given, which output is the reply, and which components are streamed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from haystack import Document, Pipeline, component
from haystack.components.builders import AnswerBuilder, ChatPromptBuilder
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.components.routers import ConditionalRouter
from haystack.components.routers.conditional_router import Route
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore

from app.haystack.model import haystack_pipeline
from app.services import Body
from schemas.chat import Json
from tests.conftest import Serve, ask, chunks_of
from tests.template.conftest import deltas_of
from tests.template.haystack.answers import Answer, answer_from, answer_of, events_of, usage_of
from tests.template.haystack.generators import (
    AsyncGenerator,
    Kind,
    each_kind,
    each_mode,
    echo,
    finished,
    says,
)

PROMPT = [ChatMessage.from_user("{{ query }} please")]
TOOL: Json = {"type": "function", "function": {"name": "weather"}}
CITED: Json = {"documents": "retriever.documents"}
RAG = [ChatMessage.from_user("{% for d in documents %}{{ d.content }} {% endfor %}{{ question }}")]


@component
class UpperCase:
    """A component that changes the messages, in a thread."""

    @component.output_types(messages=list[ChatMessage])
    def run(self, messages: list[ChatMessage]) -> dict[str, list[ChatMessage]]:
        return {"messages": [ChatMessage.from_user((messages[-1].text or "").upper())]}


@component
class Unstreamed:
    """A generator that cannot stream."""

    @component.output_types(replies=list[ChatMessage])
    def run(self, messages: list[ChatMessage]) -> dict[str, list[ChatMessage]]:
        return {
            "replies": [ChatMessage.from_assistant(f"You said {messages[-1].text}", meta={"usage": usage_of(1, 2)})]
        }


@component
class TextOf:
    """A component whose outputs have names of their own."""

    @component.output_types(result=str, number=int)
    def run(self, messages: list[ChatMessage]) -> dict[str, Any]:
        return {"result": f"The text is {messages[-1].text}", "number": 7}


def pipeline_of(*connections: str, **components: Any) -> Pipeline:
    """Return a pipeline of components, connected as `"sender.output > receiver.input"` says."""
    pipeline = Pipeline()
    for name, instance in components.items():
        pipeline.add_component(name, instance)
    for connection in connections:
        pipeline.connect(*connection.split(" > "))
    return pipeline


def prompted(generator: Any, prompt: list[ChatMessage] = PROMPT) -> Pipeline:
    builder = ChatPromptBuilder(prompt, required_variables="*")
    return pipeline_of("prompt.prompt > llm.messages", prompt=builder, llm=generator)


def answering(generator: Any, **options: Any) -> Pipeline:
    """Return a pipeline that ends with an answer builder."""
    connections = ("prompt.prompt > llm.messages", "llm.replies > answer.replies")
    return pipeline_of(*connections, prompt=ChatPromptBuilder(PROMPT), llm=generator, answer=AnswerBuilder(**options))


def rag(generator: Any) -> Pipeline:
    store = InMemoryDocumentStore()
    store.write_documents([Document(content="Cats purr.", meta={"name": "cats.md"}), Document(content="Dogs bark.")])
    return pipeline_of(
        "retriever.documents > prompt.documents",
        "prompt.prompt > llm.messages",
        retriever=InMemoryBM25Retriever(store, top_k=1),
        prompt=ChatPromptBuilder(RAG, required_variables="*"),
        llm=generator,
    )


def uppercased(generator: Any) -> Pipeline:
    return pipeline_of("upper.messages > llm.messages", upper=UpperCase(), llm=generator)


def chained(first: Any, second: Any) -> Pipeline:
    return pipeline_of("first.replies > second.messages", first=first, second=second)


def routed(yes: Any, no: Any) -> Pipeline:
    """Return a pipeline of two branches, of which the user's message chooses one."""
    routes: list[Route] = [
        {"condition": condition, "output": "{{ messages }}", "output_name": name, "output_type": list[ChatMessage]}
        for name, condition in (("yes", "{{ 'yes' in query }}"), ("no", "{{ 'yes' not in query }}"))
    ]
    return pipeline_of(
        "router.yes > yes.messages",
        "router.no > no.messages",
        router=ConditionalRouter(routes, unsafe=True),  # or it would make text of the messages
        yes=yes,
        no=no,
    )


def looped() -> Pipeline:
    pipeline = routed(AsyncGenerator(echo), AsyncGenerator(echo))
    for name in ("yes", "no"):
        pipeline.remove_component(name)
    pipeline.add_component("llm", AsyncGenerator(echo))
    pipeline.connect("router.yes", "llm.messages")
    pipeline.connect("llm.replies", "router.messages")
    return pipeline


FIRST = {"role": "user", "content": "First"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "La"}, {"type": "text", "text": "st"}]}


@each_mode
@pytest.mark.parametrize(
    ("messages", "query"),
    [
        ([FIRST, {"role": "assistant", "content": "What?"}, {"role": "user", "content": "Last"}], "Last "),
        ([FIRST, PARTS, {"role": "assistant", "content": "Well"}], "La st "),
        ([{"role": "system", "content": "Be brief."}], ""),
    ],
    ids=["text", "parts", "none"],
)
def test_the_query_is_the_users_last_message(serve: Serve, messages: list[Json], query: str, stream: bool) -> None:
    client = serve(haystack_pipeline(prompted(AsyncGenerator(echo))))

    assert answer_from(client, messages=messages, stream=stream).content == f"{query}please "


@each_kind
@pytest.mark.parametrize("pipeline_with", [prompted, answering])
def test_a_generator_between_components_streams_and_gets_the_parameters(
    serve: Serve, kind: Kind, pipeline_with: Callable[[Any], Pipeline]
) -> None:
    generator = kind(echo)

    response = ask(serve(haystack_pipeline(pipeline_with(generator))), "Say it", temperature=0.5, stream=True)

    assert deltas_of(response) == [{"content": "Say "}, {"content": "it "}, {"content": "please "}]
    assert generator.asked[0].generation_kwargs == {"temperature": 0.5}


def test_a_stream_ends_with_the_documents_of_the_answer_and_a_whole_answer_has_none(serve: Serve) -> None:
    client = serve(haystack_pipeline(rag(AsyncGenerator(echo)), **CITED))

    response = ask(client, "cats", stream=True)
    body = ask(client, "cats").json()

    (event,) = events_of(response)
    assert (event["type"], event["data"]["document"]) == ("citation", ["Cats purr."])
    assert event["data"]["source"] == {"name": "cats.md"}
    assert event["data"]["metadata"][0]["source"] == "cats.md"
    assert event["data"]["metadata"][0]["score"] > 0
    assert ["event" in chunk for chunk in chunks_of(response)] == [False] * 4 + [True, False]
    assert body.keys() == {"id", "object", "created", "model", "choices", "usage"}
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Cats purr. cats ", "refusal": None}


CUT_OFF = says("One", " two", finished("length", prompt=3, completion=2))
DRAFT = says("A ", "draft.", finished("length"))
FINAL = says("The ", "answer", finished())
DRAFTED, FINISHED = Answer("A draft.", finish_reason="length"), Answer("The answer")
UNSTREAMED = Answer("You said yes cats", usage=usage_of(1, 2))
OF_FIRST: Json = {"output": "first.replies"}
PIPELINES: dict[str, tuple[Callable[[Kind], Pipeline], Json, Answer]] = {
    "component before": (lambda kind: uppercased(kind(echo)), {}, Answer("YES CATS ")),
    "unstreamed": (lambda kind: uppercased(Unstreamed()), {}, Answer("You said YES CATS", usage=usage_of(1, 2))),
    "answer": (lambda kind: answering(kind(CUT_OFF)), {}, Answer("One two", "", [], "length", usage_of(3, 2))),
    "last of two": (lambda kind: chained(kind(DRAFT), kind(FINAL)), {}, FINISHED),
    "first of two": (lambda kind: chained(kind(DRAFT), kind(FINAL)), OF_FIRST, DRAFTED),
    "first streamed": (lambda kind: chained(kind(DRAFT), kind(FINAL)), {**OF_FIRST, "streaming": ["first"]}, DRAFTED),
    "branch": (lambda kind: routed(kind(FINAL), kind(DRAFT)), {}, FINISHED),
    "other branch": (lambda kind: routed(kind(DRAFT), kind(FINAL)), {}, DRAFTED),
    "unstreamed branch": (lambda kind: routed(Unstreamed(), kind(DRAFT)), {}, UNSTREAMED),
    "named": (lambda kind: pipeline_of(left=kind(DRAFT), right=kind(FINAL)), {"output": "right.replies"}, FINISHED),
    "named output": (
        lambda kind: pipeline_of(text=TextOf()),
        {"output": "text.result"},
        Answer("The text is yes cats"),
    ),
}


@each_mode
@each_kind
@pytest.mark.parametrize("name", PIPELINES)
def test_the_answer_is_the_reply_of_the_pipeline(serve: Serve, kind: Kind, name: str, stream: bool) -> None:
    pipeline_of_kind, options, expected = PIPELINES[name]
    client = serve(haystack_pipeline(pipeline_of_kind(kind), **options))

    assert answer_from(client, "yes cats", stream=stream) == expected


@each_mode
@each_kind
def test_the_texts_of_named_generators_are_the_answer_and_the_last_takes_the_tools(
    serve: Serve, kind: Kind, stream: bool
) -> None:
    first = kind(says("A", " draft.", finished(prompt=3, completion=2)))
    second = kind(says("The answer", finished("length", prompt=10, completion=1)))
    client = serve(haystack_pipeline(chained(first, second), streaming=["first", "second"]))

    answer = answer_from(client, temperature=0.5, tools=[TOOL], stream=stream)

    assert answer == Answer("A draft.\n\nThe answer", finish_reason="length", usage=usage_of(13, 3))
    assert [(each.asked[0].generation_kwargs or {})["temperature"] for each in (first, second)] == [0.5] * 2
    assert [len(each.asked[0].tools or ()) for each in (first, second)] == [0, 1]


@each_mode
@each_kind
@pytest.mark.parametrize("streaming", [[], None])
def test_a_generator_that_is_not_streamed_gets_the_parameters(
    serve: Serve, kind: Kind, streaming: list[str] | None, stream: bool
) -> None:
    generator = kind(echo)
    pipeline = answering(generator, pattern="Say (.*)") if streaming is None else prompted(generator)

    response = ask(
        serve(haystack_pipeline(pipeline, streaming=streaming)), "Say it", temperature=0.5, tools=[TOOL], stream=stream
    )

    assert answer_of(response).content == ("it please " if streaming is None else "Say it please ")
    assert not stream or len(deltas_of(response)) == 1
    assert generator.asked[0].generation_kwargs == {"temperature": 0.5}
    assert len(generator.asked[0].tools or ()) == 1


@each_mode
@each_kind
def test_of_two_generators_side_by_side_one_gives_the_whole_answer(serve: Serve, kind: Kind, stream: bool) -> None:
    right = kind(says("Right", " hand", finished("length", prompt=1, completion=1)))
    client = serve(haystack_pipeline(pipeline_of(left=kind(says("Left", " side")), right=right)))

    answer = answer_from(client, stream=stream)

    assert answer in [Answer("Left side"), Answer("Right hand", finish_reason="length", usage=usage_of(1, 1))]


@each_mode
@pytest.mark.parametrize("by_component", [False, True])
def test_an_author_gives_the_inputs_in_either_form_of_haystack_and_they_are_left_as_they_are(
    serve: Serve, by_component: bool, stream: bool
) -> None:
    given: Json = {"prompt": {"query": "Hi"}, "llm": {}} if by_component else {"query": "Hi"}

    def inputs(messages: list[ChatMessage], body: Body) -> Json:
        with pytest.raises(RuntimeError):  # it must not hold the event loop
            asyncio.get_running_loop()
        (given["prompt"] if by_component else given)["query"] = f"{messages[-1].text} {body['user']}"
        return given

    client = serve(haystack_pipeline(prompted(AsyncGenerator(echo)), inputs=inputs))

    answers = [answer_from(client, name, user="Jo", temperature=1, stream=stream).content for name in "ab"]

    assert answers == ["a Jo please ", "b Jo please "]
    assert given == ({"prompt": {"query": "b Jo"}, "llm": {}} if by_component else {"query": "b Jo"})


@each_mode
@pytest.mark.parametrize(
    "given", [{"nobody": {"query": "Hi"}}, {"query": "Hi", "nobody": 1}], ids=["component", "input"]
)
def test_an_input_that_the_pipeline_does_not_have_is_a_500_whose_log_names_it(
    serve: Serve, caplog: pytest.LogCaptureFixture, given: Json, stream: bool
) -> None:
    model = haystack_pipeline(prompted(AsyncGenerator(echo)), inputs=lambda messages, body: given)

    assert ask(serve(model), stream=stream).status_code == 500
    assert "nobody" in caplog.text


TWO_INPUTS = [ChatMessage.from_user("{{ tone }} {{ query }}")]


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: pipeline_of(text=TextOf()), {}, r"text\.result, text\.number.*haystack_pipeline\(…, output="),
        (lambda: prompted(AsyncGenerator(echo), TWO_INPUTS), {}, r"input prompt\.tone.*inputs=lambda messages, body"),
        (lambda: rag(AsyncGenerator(echo)), {"streaming": ["prompt"]}, "'prompt' cannot stream"),
        (lambda: rag(AsyncGenerator(echo)), {"streaming": ["nobody"]}, "nobody"),
        (lambda: rag(AsyncGenerator(echo)), {"output": "nobody.replies"}, r"no output 'nobody\.replies'.*llm\.replies"),
        (lambda: rag(AsyncGenerator(echo)), {"output": "llm.nothing"}, r"no output 'llm\.nothing'"),
        (lambda: rag(AsyncGenerator(echo)), {"documents": "retriever.nothing"}, r"no output 'retriever\.nothing'"),
        (lambda: rag(AsyncGenerator(echo)), {"documents": "llm.replies"}, r"neither documents .*list\[.*ChatMessage\]"),
        (looped, {"streaming": ["llm"], "output": "router.no"}, "'llm' cannot stream: .* in a loop"),
    ],
)  # fmt: skip
def test_a_pipeline_whose_inputs_or_outputs_are_not_clear_is_refused_at_once(
    make: Callable[[], Pipeline], options: Json, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        haystack_pipeline(make(), **options)


@each_mode
def test_a_run_without_a_reply_is_a_500_whose_log_names_the_outputs_that_there_are(
    serve: Serve, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    pipeline = routed(AsyncGenerator(echo), AsyncGenerator(echo))
    pipeline.remove_component("no")
    client = serve(haystack_pipeline(pipeline))

    assert ask(client, "cats", stream=stream).status_code == 500
    assert "without a reply in yes.replies. It has router.no. Name all that may be the reply" in caplog.text
    both = serve(haystack_pipeline(pipeline, output=["yes.replies", "router.no"]))
    assert [answer_from(both, text, stream=stream).content for text in ("yes", "cats")] == ["yes ", "cats"]


def test_a_prompt_variable_that_nothing_fills_is_warned_of_when_the_model_is_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    optional = ChatPromptBuilder(TWO_INPUTS, required_variables=["query"])

    haystack_pipeline(pipeline_of("prompt.prompt > llm.messages", prompt=optional, llm=AsyncGenerator(echo)))

    (record,) = [record for record in caplog.records if record.name == "app.haystack"]
    assert "prompt variable prompt.tone" in record.getMessage()


def test_of_several_replies_the_last_is_sent_with_a_warning_unless_one_is_named(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    two = pipeline_of(one=AsyncGenerator(says("One")), two=AsyncGenerator(says("Two")))
    named, unnamed = haystack_pipeline(two, output="one.replies"), haystack_pipeline(two)
    client = serve({"named": named, "test": unnamed})

    assert [answer_of(ask(client, model=name)).content for name in ("named", "test")] == ["One", "Two"]
    assert [record.getMessage().partition(":")[0] for record in caplog.records if record.levelname == "WARNING"] == [
        "one.replies, two.replies look like replies"
    ]
