"""Pipelines as models: who is heard, where the reply is, and what the pipeline is given."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from haystack import Document, Pipeline, component
from haystack.components.builders import AnswerBuilder, ChatPromptBuilder
from haystack.components.joiners import BranchJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.components.routers import ConditionalRouter
from haystack.components.routers.conditional_router import Route
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore

from app.haystack.model import haystack_pipeline
from app.services import Body
from schemas.chat import Json
from tests.conftest import Serve, ask, chunks_of, error_of, message_of
from tests.template.conftest import deltas_of
from tests.template.haystack.answers import answer_of, events_of
from tests.template.haystack.generators import AsyncGenerator, SyncGenerator, echo, finished, says, usage_of

EACH = pytest.mark.parametrize("stream", [False, True])
EACH_KIND = pytest.mark.parametrize("kind", [AsyncGenerator, SyncGenerator])
PROMPT = [ChatMessage.from_user("{{ query }} please")]
RAG = [ChatMessage.from_user("{% for d in documents %}{{ d.content }} {% endfor %}{{ question }}")]


@component
class Shout:
    """A sync component between others."""

    @component.output_types(messages=list[ChatMessage])
    def run(self, messages: list[ChatMessage]) -> dict[str, list[ChatMessage]]:
        return {"messages": [ChatMessage.from_user((messages[-1].text or "").upper())]}


@component
class AsyncShout(Shout):
    """The same on the event loop."""

    @component.output_types(messages=list[ChatMessage])
    def run(self, messages: list[ChatMessage]) -> dict[str, list[ChatMessage]]:
        raise AssertionError("It has an async side")

    @component.output_types(messages=list[ChatMessage])
    async def run_async(self, messages: list[ChatMessage]) -> dict[str, list[ChatMessage]]:
        return Shout.run(self, messages)


@component
class Deaf:
    """A generator that cannot stream."""

    @component.output_types(replies=list[ChatMessage])
    def run(self, messages: list[ChatMessage]) -> dict[str, list[ChatMessage]]:
        return {"replies": [ChatMessage.from_assistant(f"I heard {messages[-1].text}", meta={"usage": usage_of(1, 2)})]}


@component
class TextOf:
    """Turns messages into an output of a name that says nothing."""

    @component.output_types(result=str, number=int)
    def run(self, messages: list[ChatMessage]) -> dict[str, Any]:
        return {"result": f"The text is {messages[-1].text}", "number": 7}


def pipeline_of(*connections: str, **components: Any) -> Pipeline:
    """A pipeline of components, connected as `"sender.output > receiver.input"` says."""
    pipeline = Pipeline()
    for name, instance in components.items():
        pipeline.add_component(name, instance)
    for connection in connections:
        pipeline.connect(*connection.split(" > "))
    return pipeline


def prompted(generator: Any, prompt: list[ChatMessage] = PROMPT) -> Pipeline:
    builder = ChatPromptBuilder(prompt, required_variables="*")
    return pipeline_of("prompt.prompt > llm.messages", prompt=builder, llm=generator)


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


def chained(first: Any, second: Any) -> Pipeline:
    return pipeline_of("first.replies > second.messages", first=first, second=second)


def routed(yes: Any, no: Any) -> Pipeline:
    """Two branches, of which the one runs that the user's message says."""
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


@EACH
@EACH_KIND
def test_what_the_user_said_last_is_the_query(serve: Serve, kind: type, stream: bool) -> None:
    model = haystack_pipeline(prompted(kind(echo)))
    messages = [
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": "What?"},
        {"role": "user", "content": "Second"},
    ]

    assert answer_of(ask(serve(model), messages=messages, stream=stream)).content == "Second please "


@EACH_KIND
def test_a_generator_behind_a_prompt_is_heard_word_by_word(serve: Serve, kind: type) -> None:
    response = ask(serve(haystack_pipeline(prompted(kind(echo)))), "Say it", stream=True)

    assert deltas_of(response) == [{"content": "Say "}, {"content": "it "}, {"content": "please "}]


@EACH_KIND
def test_the_parameters_of_a_request_reach_a_generator_behind_a_prompt(serve: Serve, kind: type) -> None:
    generator = kind(echo)

    ask(serve(haystack_pipeline(prompted(generator))), temperature=0.5)

    assert generator.asked[0].generation_kwargs == {"temperature": 0.5}


@EACH
@EACH_KIND
def test_an_answer_rests_on_the_documents_that_were_found(serve: Serve, kind: type, stream: bool) -> None:
    client = serve(haystack_pipeline(rag(kind(echo)), documents="retriever.documents"))

    assert answer_of(ask(client, "cats", stream=stream)).content == "Cats purr. cats "


def test_the_documents_are_cited_at_the_end_of_a_stream(serve: Serve) -> None:
    response = ask(
        serve(haystack_pipeline(rag(AsyncGenerator(echo)), documents="retriever.documents")), "cats", stream=True
    )

    (event,) = events_of(response)
    assert (event["type"], event["data"]["document"]) == ("citation", ["Cats purr."])
    assert event["data"]["source"] == {"name": "cats.md"}
    assert event["data"]["metadata"][0]["source"] == "cats.md"
    assert event["data"]["metadata"][0]["score"] > 0
    assert ["event" in chunk for chunk in chunks_of(response)] == [False] * 4 + [True, False]


def test_a_whole_answer_cites_nothing(serve: Serve) -> None:
    client = serve(haystack_pipeline(rag(AsyncGenerator(echo)), documents="retriever.documents"))

    body = ask(client, "cats").json()

    assert body.keys() == {"id", "object", "created", "model", "choices"}
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Cats purr. cats ", "refusal": None}


@EACH
@pytest.mark.parametrize("between", [Shout, AsyncShout])
@EACH_KIND
def test_components_of_both_kinds_may_stand_before_the_generator(
    serve: Serve, kind: type, between: type, stream: bool
) -> None:
    pipeline = pipeline_of("shout.messages > llm.messages", shout=between(), llm=kind(echo))

    assert answer_of(ask(serve(haystack_pipeline(pipeline)), "hello you", stream=stream)).content == "HELLO YOU "


@EACH
def test_a_pipeline_in_which_nobody_streams_sends_its_reply(serve: Serve, stream: bool) -> None:
    client = serve(haystack_pipeline(prompted(Deaf())))

    answer = answer_of(
        ask(client, "Hi", stream=stream, **({"stream_options": {"include_usage": True}} if stream else {}))
    )

    assert (answer.content, answer.usage) == ("I heard Hi please", usage_of(1, 2))


@EACH
@EACH_KIND
def test_a_generator_before_an_answer_builder_is_heard(serve: Serve, kind: type, stream: bool) -> None:
    pipeline = prompted(kind(says("One", " two", finished("length", prompt=3, completion=2))))
    pipeline.add_component("answer", AnswerBuilder())
    pipeline.connect("llm.replies", "answer.replies")
    usage = {"stream_options": {"include_usage": True}} if stream else {}

    answer = answer_of(ask(serve(haystack_pipeline(pipeline)), stream=stream, **usage))

    assert (answer.content, answer.finish_reason, answer.usage) == ("One two", "length", usage_of(3, 2))


def test_a_generator_before_an_answer_builder_is_heard_word_by_word(serve: Serve) -> None:
    pipeline = prompted(AsyncGenerator(says("One", " two")))
    pipeline.add_component("answer", AnswerBuilder())
    pipeline.connect("llm.replies", "answer.replies")

    response = ask(serve(haystack_pipeline(pipeline)), stream=True)

    assert deltas_of(response) == [{"content": "One"}, {"content": " two"}]


@EACH
@EACH_KIND
def test_of_two_generators_in_a_row_the_last_is_heard(serve: Serve, kind: type, stream: bool) -> None:
    pipeline = chained(kind(says("A draft", finished("length"))), kind(says("The ", "answer", finished())))

    answer = answer_of(ask(serve(haystack_pipeline(pipeline)), stream=stream))

    assert (answer.content, answer.finish_reason) == ("The answer", "stop")


@EACH_KIND
def test_both_of_two_generators_are_heard_if_both_are_named(serve: Serve, kind: type) -> None:
    pipeline = chained(kind(says("A draft. ", finished())), kind(says("The ", "answer", finished())))
    client = serve(haystack_pipeline(pipeline, streaming=["first", "second"]))

    assert answer_of(ask(client, stream=True)).content == "A draft. The answer"


def test_a_named_generator_is_heard_instead_of_the_last(serve: Serve) -> None:
    pipeline = chained(AsyncGenerator(says("A draft.", finished())), AsyncGenerator(says("The answer", finished())))
    client = serve(haystack_pipeline(pipeline, streaming=["first"], output="first.replies"))

    assert answer_of(ask(client, stream=True)).content == answer_of(ask(client)).content == "A draft."


@EACH
@EACH_KIND
@pytest.mark.parametrize("word", ["yes", "no"])
def test_the_branch_that_runs_is_heard(serve: Serve, kind: type, word: str, stream: bool) -> None:
    client = serve(haystack_pipeline(routed(kind(says("I ", "agree")), kind(says("I ", "refuse")))))

    expected = "I agree" if word == "yes" else "I refuse"
    assert answer_of(ask(client, word, stream=stream)).content == expected


@EACH
def test_a_branch_that_cannot_stream_is_heard_at_its_end(serve: Serve, stream: bool) -> None:
    client = serve(haystack_pipeline(routed(AsyncGenerator(says("I agree")), Deaf())))

    assert answer_of(ask(client, "no", stream=stream)).content == "I heard no"


@EACH
@EACH_KIND
@pytest.mark.parametrize("word", ["yes", "no"])
def test_the_branch_that_runs_is_heard_before_a_joiner(serve: Serve, kind: type, word: str, stream: bool) -> None:
    pipeline = routed(kind(says("I ", "agree")), kind(says("I ", "refuse")))
    pipeline.add_component("joiner", BranchJoiner(list[ChatMessage]))
    pipeline.add_component("answer", AnswerBuilder())
    for name in ("yes", "no"):
        pipeline.connect(f"{name}.replies", "joiner")
    pipeline.connect("joiner", "answer.replies")

    expected = "I agree" if word == "yes" else "I refuse"
    assert answer_of(ask(serve(haystack_pipeline(pipeline)), word, stream=stream)).content == expected


@EACH
@EACH_KIND
def test_of_two_generators_side_by_side_one_is_heard_to_its_end(serve: Serve, kind: type, stream: bool) -> None:
    left = kind(says("Left", " side", finished("length", prompt=1, completion=1)))
    right = kind(says("Right", " hand", finished("stop", prompt=2, completion=2)))
    usage = {"stream_options": {"include_usage": True}} if stream else {}

    answer = answer_of(ask(serve(haystack_pipeline(pipeline_of(left=left, right=right))), stream=stream, **usage))

    assert (answer.content, answer.finish_reason, answer.usage) in [
        ("Left side", "length", usage_of(1, 1)),
        ("Right hand", "stop", usage_of(2, 2)),
    ]


def test_of_two_generators_side_by_side_the_one_that_is_heard_ends_the_stream(serve: Serve) -> None:
    right = AsyncGenerator(says("Right hand", finished("length", prompt=1, completion=1)))
    client = serve(haystack_pipeline(pipeline_of(left=AsyncGenerator(says("Left side")), right=right)))

    answer = answer_of(ask(client, stream=True, stream_options={"include_usage": True}))

    assert (answer.content, answer.finish_reason, answer.usage) == ("Left side", "stop", None)


@EACH
def test_one_of_two_generators_side_by_side_may_be_named(serve: Serve, stream: bool) -> None:
    pipeline = pipeline_of(left=AsyncGenerator(says("Left", " side")), right=AsyncGenerator(says("Right", " hand")))

    model = haystack_pipeline(pipeline, output="right.replies")

    assert answer_of(ask(serve(model), stream=stream)).content == "Right hand"


def by_component(messages: list[ChatMessage], body: Body) -> Json:
    return {"prompt": {"query": f"{messages[-1].text} {body['user']}"}}


def by_input(messages: list[ChatMessage], body: Body) -> Json:
    return {"query": f"{messages[-1].text} {body['user']}"}


@EACH
@EACH_KIND
@pytest.mark.parametrize("inputs", [by_component, by_input])
def test_the_inputs_may_be_given_in_both_forms_of_haystack_s(
    serve: Serve, kind: type, inputs: Callable[[list[ChatMessage], Body], Json], stream: bool
) -> None:
    model = haystack_pipeline(prompted(kind(echo)), inputs=inputs)

    assert answer_of(ask(serve(model), "Hi", user="Jo", stream=stream)).content == "Hi Jo please "


@EACH
def test_an_output_of_any_name_may_be_the_reply(serve: Serve, stream: bool) -> None:
    model = haystack_pipeline(pipeline_of(text=TextOf()), output="text.result")

    assert answer_of(ask(serve(model), "Hi", stream=stream)).content == "The text is Hi"


@EACH
def test_an_output_in_the_middle_of_a_pipeline_may_be_the_reply(serve: Serve, stream: bool) -> None:
    pipeline = chained(AsyncGenerator(says("A", " draft")), AsyncGenerator(says("The answer")))

    assert (
        answer_of(ask(serve(haystack_pipeline(pipeline, output="first.replies")), stream=stream)).content == "A draft"
    )


def test_an_output_that_is_no_reply_is_a_500_whose_log_says_so(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    response = ask(serve(haystack_pipeline(pipeline_of(text=TextOf()), output="text.number")))

    assert response.status_code == 500
    assert "The output of the pipeline is int" in caplog.text


def test_a_pipeline_without_a_reply_is_refused_with_its_outputs() -> None:
    with pytest.raises(ValueError, match=r"text\.result, text\.number.*haystack_pipeline\(…, output="):
        haystack_pipeline(pipeline_of(text=TextOf()))


def test_a_pipeline_with_an_input_that_nothing_fills_is_refused_with_its_name() -> None:
    prompt = [ChatMessage.from_user("{{ tone }} {{ query }}")]

    with pytest.raises(ValueError, match=r"the input prompt\.tone.*inputs=lambda messages, body"):
        haystack_pipeline(prompted(AsyncGenerator(echo), prompt))


def test_a_component_that_is_to_stream_and_cannot_is_refused_with_its_name() -> None:
    with pytest.raises(ValueError, match="'prompt' cannot stream"):
        haystack_pipeline(prompted(AsyncGenerator(echo)), streaming=["prompt"])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"output": "nobody.replies"}, "nobody"),
        ({"output": "llm.nothing"}, r"llm\.nothing"),
        ({"output": "llm"}, "llm"),
        ({"documents": "nobody.documents"}, "nobody"),
        ({"documents": "retriever.nothing"}, r"retriever\.nothing"),
        ({"documents": "retriever"}, "retriever"),
        ({"streaming": ["nobody"]}, "nobody"),
    ],
)
def test_a_name_that_is_not_in_the_pipeline_is_refused_at_once(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        haystack_pipeline(rag(AsyncGenerator(echo)), **wrong)


@EACH
@pytest.mark.parametrize(
    "given", [{"nobody": {"query": "Hi"}}, {"query": "Hi", "nothing": 1}], ids=["component", "input"]
)
def test_an_input_that_is_not_in_the_pipeline_is_a_500_whose_log_names_it(
    serve: Serve, caplog: pytest.LogCaptureFixture, given: Json, stream: bool
) -> None:
    model = haystack_pipeline(prompted(AsyncGenerator(echo)), inputs=lambda messages, body: given)

    response = ask(serve(model), stream=stream)

    assert response.status_code == 500
    assert ("nobody" if "nobody" in given else "nothing") in caplog.text


@EACH
@EACH_KIND
def test_nobody_gets_the_answer_of_another(serve: Serve, kind: type, stream: bool) -> None:
    client = serve(haystack_pipeline(rag(kind(echo)), documents="retriever.documents"))

    def answer(number: int) -> str:
        return answer_of(ask(client, f"cats {number} " * 5, stream=stream)).content

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(answer, range(50)))

    assert answers == [f"Cats purr. {f'cats {number} ' * 5}" for number in range(50)]


@EACH
@pytest.mark.parametrize("form", ["by component", "by input"])
def test_inputs_that_are_given_again_and_again_are_left_as_they_are(serve: Serve, form: str, stream: bool) -> None:
    given: Json = {"prompt": {"query": "Hi"}, "llm": {}} if form == "by component" else {"query": "Hi"}
    client = serve(haystack_pipeline(prompted(AsyncGenerator(echo)), inputs=lambda messages, body: given))

    answers = [answer_of(ask(client, stream=stream, temperature=1)).content for _ in range(3)]

    assert answers == ["Hi please "] * 3
    assert given == ({"prompt": {"query": "Hi"}, "llm": {}} if form == "by component" else {"query": "Hi"})


def test_what_a_user_passes_to_the_generator_is_kept_beside_the_parameters_of_the_request(serve: Serve) -> None:
    generator = AsyncGenerator(echo)
    kwargs = {"top_k": 3}
    model = haystack_pipeline(
        prompted(generator),
        inputs=lambda messages, body: {"prompt": {"query": "Hi"}, "llm": {"generation_kwargs": kwargs}},
    )

    ask(serve(model), temperature=0.5)

    assert generator.asked[0].generation_kwargs == {"top_k": 3, "temperature": 0.5}
    assert kwargs == {"top_k": 3}


def test_a_message_that_is_a_400_never_starts_a_pipeline(serve: Serve) -> None:
    generator = AsyncGenerator(echo)

    response = ask(serve(haystack_pipeline(prompted(generator))), [{"type": "nothing"}])

    assert (response.status_code, error_of(response)["param"]) == (400, "messages[0]")
    assert not generator.asked


def test_a_pipeline_keeps_nothing_of_a_request(serve: Serve) -> None:
    client = serve(haystack_pipeline(prompted(AsyncGenerator(echo))))

    assert message_of(ask(client, "One"))["content"] == "One please "
    assert answer_of(ask(client, "Two", stream=True)).content == "Two please "
    assert message_of(ask(client, "Three"))["content"] == "Three please "
