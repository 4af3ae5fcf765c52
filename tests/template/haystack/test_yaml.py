"""Pipelines in YAML, as Haystack writes them and with the sections that Hayhooks adds."""

import pytest
from haystack import Document, Pipeline
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import MockChatGenerator
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.components.routers import ConditionalRouter
from haystack.components.routers.conditional_router import Route
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy

from app.haystack.model import haystack_pipeline
from app.haystack.yaml import haystack_yaml
from schemas.chat import Json
from tests.conftest import Serve, ask, error_of, message_of
from tests.template.haystack.answers import answer_from, events_of
from tests.template.haystack.generators import each_mode

STORE = InMemoryDocumentStore(index="test_yaml")
TEMPLATE = [ChatMessage.from_user("{{ query }} in {{ language }}{{ style }}?")]
SECTIONS = """
inputs:
  query: [retriever.query, prompt.query]
  language: prompt.language
  style: prompt.style
outputs:
  documents: retriever.documents
  replies: llm.replies
"""


def pipeline() -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(STORE))
    pipeline.add_component("prompt", ChatPromptBuilder(TEMPLATE, required_variables=["query", "language"]))
    pipeline.add_component("draft", MockChatGenerator())
    pipeline.add_component("llm", MockChatGenerator())
    pipeline.connect("prompt", "draft.messages")
    pipeline.connect("draft.replies", "llm.messages")
    return pipeline


@each_mode
def test_the_sections_of_hayhooks_say_what_goes_in_and_what_comes_out(serve: Serve, stream: bool) -> None:
    client = serve(haystack_yaml(pipeline().dumps() + SECTIONS))

    assert answer_from(client, "Hello", language="French", stream=stream).content == "Hello in French?"
    assert answer_from(client, "Hello", language="French", style=", please", stream=stream).content == (
        "Hello in French, please?"
    )


def test_an_input_that_is_no_part_of_a_chat_is_a_field_of_the_request(serve: Serve) -> None:
    response = ask(serve(haystack_yaml(pipeline().dumps() + SECTIONS)))

    assert (response.status_code, error_of(response)["param"]) == (400, "language")
    assert error_of(response)["message"] == "This model needs the field 'language' in the request."


def test_the_conversation_and_the_question_are_known_by_the_name_or_by_the_input(serve: Serve) -> None:
    llm = Pipeline()
    llm.add_component("llm", MockChatGenerator())
    prompt = Pipeline()
    prompt.add_component(
        "prompt", ChatPromptBuilder([ChatMessage.from_user("{{ question }}, {{ messages[0].text }}!")])
    )
    prompt.add_component("llm", MockChatGenerator())
    prompt.connect("prompt", "llm")
    models = {
        "input": haystack_yaml(llm.dumps() + "inputs: {chat: llm.messages}"),
        "names": haystack_yaml(prompt.dumps() + "inputs: {user_message: prompt.question, messages: prompt.messages}"),
    }
    client = serve(models)

    assert message_of(ask(client, "Hi", model="input"))["content"] == "Hi"
    assert message_of(ask(client, "Hi", model="names"))["content"] == "Hi, Hi!"


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("", "Hi"),
        ("streaming_components: [draft]", "Hi"),
        ("streaming_components: [draft, llm]", 2),
        ("streaming_components: all", 2),
    ],
)
def test_components_are_streamed_as_the_section_says(serve: Serve, section: str, expected: str | int) -> None:
    inputs: Json = {"inputs": lambda messages, body: {"query": "Hi", "language": ""}, "output": "llm.replies"}
    text = pipeline().dumps() + section

    content = answer_from(serve(haystack_yaml(text, **inputs)), stream=True).content

    assert content.count("Hi") == (expected if isinstance(expected, int) else 1)


@each_mode
def test_a_pipeline_that_haystack_has_loaded_is_a_model_and_sources_come_from_the_section(
    serve: Serve, stream: bool
) -> None:
    plain = Pipeline()
    plain.add_component("llm", MockChatGenerator())
    client = serve({"loaded": haystack_pipeline(Pipeline.loads(plain.dumps())), "yaml": haystack_yaml(plain.dumps())})

    for model in ("loaded", "yaml"):
        assert answer_from(client, model=model, stream=stream).content == "Hello!"


@each_mode
def test_the_first_output_that_has_a_value_is_the_reply(serve: Serve, stream: bool) -> None:
    ways = {"short": "{{ query|length < 9 }}", "long": "{{ True }}"}
    routes = [
        Route(condition=condition, output=f"It is {name}.", output_name=name, output_type=str)
        for name, condition in ways.items()
    ]
    pipeline = Pipeline()
    pipeline.add_component("router", ConditionalRouter(routes))
    client = serve(haystack_yaml(pipeline.dumps() + "outputs: {one: router.long, other: [router.short]}"))

    assert answer_from(client, "Hello", stream=stream).content == "It is short."
    assert answer_from(client, "Hello there", stream=stream).content == "It is long."


def test_the_documents_among_the_outputs_are_sources(serve: Serve) -> None:
    model = haystack_yaml(pipeline().dumps() + SECTIONS)  # whose store has the documents of its index
    STORE.write_documents([Document(content="Whales sing.", meta={"title": "Whales"})], DuplicatePolicy.OVERWRITE)

    (event,) = events_of(ask(serve(model), "Whales", language="French", stream=True))

    assert (event["type"], event["data"]["source"]) == ("citation", {"name": "Whales"})
