"""Pack `local`: the model in this process, loaded once and served from a thread."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

pytest.importorskip("xllamacpp", reason="needs the extra `local`")

from haystack import Pipeline
from haystack.dataclasses import ChatMessage, StreamingChunk
from openai import BadRequestError, OpenAI

from app.local.generator import LocalChatGenerator
from app.local.model import LocalModel, OnItem, to_request
from app.services import Messages
from schemas.chat import Json
from tests.conftest import live, until
from tests.template.e2e.connection import Connection, chat, says

QUESTION = "What is the capital of France?"
CAPITAL: Messages = [{"role": "user", "content": QUESTION}]
STORY: Messages = [{"role": "user", "content": "Write a long story about a dragon."}]
TEXT, REFUSAL = {"type": "text", "text": "one"}, {"type": "refusal", "refusal": "two"}
ENDLESS = 1500  # tokens: many seconds
AGE: Json = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


class WatchedModel(LocalModel):
    """The local model, which notes what happens to each question, and answers one of a single word without an end."""

    def __init__(self) -> None:
        super().__init__()
        self.events: defaultdict[str, list[str]] = defaultdict(list)
        self.items: Counter[str] = Counter()

    async def _run(self, request: Json, buffer: Any) -> None:
        events = self.events[question_of(request)]
        events.append("queued")
        try:
            await super()._run(request, buffer)
        finally:
            events.append("over")

    def generate(self, request: Json, on_item: OnItem) -> None:
        question = question_of(request)

        def count(item: str | Json) -> bool:
            self.items[question] += 1
            return on_item(item)

        self.events[question].append("started")
        is_endless = " " not in question
        super().generate(request | ({"ignore_eos": True, "max_tokens": ENDLESS} if is_endless else {}), count)
        self.events[question].append("stopped")

    def wait_for(self, question: str, event: str) -> None:
        until(lambda: self.events[question], lambda events: event in events)


def question_of(request: Json) -> str:
    return str(request["messages"][-1]["content"])


@pytest.fixture(scope="module")
def model() -> Iterator[WatchedModel]:
    model = WatchedModel()
    asyncio.run(model.start())
    yield model
    model.close()


@pytest.fixture(scope="module")
def client(model: WatchedModel) -> Iterator[OpenAI]:
    with live(model) as client:
        yield client


def ask(client: OpenAI, question: str = QUESTION, **fields: Any) -> Any:
    return client.chat.completions.create(**{"model": "test", "messages": says(question), **fields})


def content_of(completion: Any) -> str:
    return str(completion.choices[0].message.content)


def items_of(model: LocalModel, messages: Messages, count: int = ENDLESS, **body: object) -> list[str | Json]:
    """Return the items of an answer that the callback gets until it has so many."""
    items: list[str | Json] = []

    def take(item: str | Json) -> bool:
        items.append(item)
        return len(items) < count

    model.generate(to_request(messages, body), take)
    return items


@pytest.mark.parametrize("number", [2**31, 2**63, 2**64, 10**400])
def test_numbers_that_llama_cpp_cannot_hold_are_bounded_or_a_400(client: OpenAI, number: int) -> None:
    assert "Paris" in content_of(ask(client, seed=number, max_completion_tokens=number))
    assert "Paris" in content_of(ask(client, seed=-number, max_tokens=number))
    for field in (
        {"top_k": 2**40 * number},
        {"response_format": {"type": "json_object", "schema": {"x": 2**40 * number}}},
    ):
        with pytest.raises(BadRequestError, match="cannot do this"):
            ask(client, extra_body=field)


def test_an_answer_is_the_same_whole_and_token_by_token_and_up_to_a_stop_sequence(client: OpenAI) -> None:
    whole = ask(client)
    *chunks, last = ask(client, stream=True, stream_options={"include_usage": True})
    stopped = ask(client, stop=["Paris"])

    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert "Paris" in content_of(whole)
    assert "".join(texts) == content_of(whole)
    assert len(texts) > 3
    assert content_of(stopped) == content_of(whole).partition("Paris")[0]
    assert whole.choices[0].finish_reason == stopped.choices[0].finish_reason == "stop"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert {chunk.model for chunk in (whole, *chunks)} == {"test"}  # not the path of the file
    assert whole.usage.completion_tokens == last.usage.completion_tokens > 3
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


def test_a_seed_repeats_an_answer_and_a_limit_cuts_it(client: OpenAI) -> None:
    first, again, other = (
        ask(client, "Write a story.", temperature=1, seed=seed, max_completion_tokens=12) for seed in (7, 7, 8)
    )

    assert content_of(first) == content_of(again) != content_of(other)
    assert (first.choices[0].finish_reason, first.usage.completion_tokens) == ("length", 12)


def answer_format(**schema: object) -> Json:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "age", "schema": schema}}}


def test_an_answer_keeps_to_a_json_schema(client: OpenAI) -> None:
    answer = ask(client, "Tom is five years old. Give his age.", **answer_format(**AGE, additionalProperties=False))

    ((name, value),) = json.loads(content_of(answer)).items()
    assert (name, type(value)) == ("age", int)


def part(**part: object) -> Json:
    return {"messages": [*CAPITAL, {"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    ("fields", "code", "param", "message"),
    [
        (answer_format(type="nope"), None, "response_format", "cannot do this"),
        (answer_format(type="object", properties=1), None, "response_format", "cannot do this"),
        (part(type="image_url", image_url={"url": "data:,"}), None, "messages[1]", "reads text alone"),
        (part(type="input_text", text="a"), None, "messages[1]", "reads text alone"),
        ({"messages": says("word " * 2100)}, "context_length_exceeded", "messages", r"21\d\d tokens .* holds 2048"),
    ],
    ids=["unknown type", "wrong properties", "image", "part of another type", "too long"],
)
def test_a_request_that_it_cannot_answer_is_an_error_that_names_the_parameter(
    client: OpenAI, fields: Json, code: str | None, param: str, message: str
) -> None:
    with pytest.raises(BadRequestError, match=message) as caught:
        ask(client, stream=True, **fields)

    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize(
    ("roles", "contents", "expected"),
    [
        ("user", ["Hi"], [("system", "You are a helpful assistant."), ("user", "Hi")]),
        ("system user", ["Be brief.", "Hi"], [("system", "Be brief."), ("user", "Hi")]),
        ("developer assistant", ["Be brief.", None], [("system", "Be brief."), ("assistant", "")]),
        ("system user", ["", [TEXT, REFUSAL]], [("system", ""), ("user", "one\ntwo")]),
    ],
)
def test_llama_gets_texts_of_which_the_first_is_a_system_message(
    roles: str, contents: list[object], expected: object
) -> None:
    messages: Any = [{"role": role, "content": text} for role, text in zip(roles.split(), contents, strict=True)]

    assert [(each["role"], each["content"]) for each in to_request(messages, {})["messages"]] == expected


def test_llama_gets_the_parameters_that_it_may_have_and_no_others() -> None:
    body = {"model": "local", "n": 1, "stream": False, "top_p": 0.5, "seed": None, "cache_prompt": 1, "user": "x"}
    request = to_request(CAPITAL, body)

    assert request["top_p"] == 0.5
    assert (request["temperature"], request["max_tokens"], request["stream"]) == (0, 512, True)
    assert not request.keys() & {"model", "n", "seed", "cache_prompt", "user"}


def test_more_clients_than_it_has_slots_are_all_answered(client: OpenAI) -> None:
    with ThreadPoolExecutor(3) as threads:
        completions = list(threads.map(lambda _: content_of(ask(client)), range(3)))

    assert ["Paris" in completion for completion in completions] == [True] * 3


@pytest.mark.parametrize("stream", [False, True])
def test_it_stops_when_its_client_leaves_and_meanwhile_other_requests_are_answered(
    model: WatchedModel, client: OpenAI, stream: bool
) -> None:
    question = f"endless-{stream}"
    with Connection(client.base_url.port or 0) as connection:
        connection.post(chat("test", question, stream=stream))
        until(lambda: model.items[question], lambda items: items > 2)
        assert client.models.list().data
        assert "stopped" not in model.events[question]

    model.wait_for(question, "stopped")
    assert model.items[question] < ENDLESS


def test_a_client_that_leaves_the_queue_is_never_answered(model: WatchedModel, client: OpenAI) -> None:
    with ExitStack() as stack:
        for question in ("first", "second"):
            connection = stack.enter_context(Connection(client.base_url.port or 0))
            connection.post(chat("test", question, stream=True))
            model.wait_for(question, "started")
        with Connection(client.base_url.port or 0) as queued:
            queued.post(chat("test", "third", stream=True))
            model.wait_for("third", "queued")
        model.wait_for("third", "over")

    model.wait_for("first", "stopped")
    model.wait_for("second", "stopped")
    assert "Paris" in content_of(ask(client))
    assert model.events["third"] == ["queued", "over"]


def test_it_stops_in_the_middle_of_a_prompt_when_the_completion_is_cancelled(
    model: WatchedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([False, False, True])
    monkeypatch.setattr("app.local.model.is_cancelled", lambda: next(looks))

    assert items_of(model, [{"role": "user", "content": "word " * 1000}]) == []
    assert list(looks) == []


def test_it_stops_when_the_callback_wants_no_more_and_writes_nothing_to_the_terminal(
    model: WatchedModel, capfd: pytest.CaptureFixture[str]
) -> None:
    assert [type(item) for item in items_of(model, STORY, count=3)] == [str] * 3
    assert capfd.readouterr() == ("", "")


def test_it_stops_when_the_callback_raises_and_raises_the_same(model: WatchedModel) -> None:
    chunks: list[StreamingChunk] = []

    def fail(chunk: StreamingChunk) -> None:
        chunks.append(chunk)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        LocalChatGenerator(model).run([ChatMessage.from_user("Write a long story.")], fail)

    assert len(chunks) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_haystack_pipeline_is_answered(model: WatchedModel, streamed: bool) -> None:
    pipeline = Pipeline()
    pipeline.add_component("llm", LocalChatGenerator(model, {"temperature": 0}))
    chunks: list[StreamingChunk] = []

    await pipeline.warm_up_async()
    data = {"messages": [ChatMessage.from_user(QUESTION)]}
    result = await pipeline.run_async({"llm": data | ({"streaming_callback": chunks.append} if streamed else {})})

    (reply,) = result["llm"]["replies"]
    assert "Paris" in reply.text
    assert reply.meta == {"model": "local", "index": 0, "finish_reason": "stop", "usage": reply.meta["usage"]}
    if streamed:
        *texts, finish, usage = chunks
        assert "".join(chunk.content for chunk in texts) == reply.text
        assert [chunk.start for chunk in texts] == [True] + [False] * (len(texts) - 1)
        assert (finish.finish_reason, usage.meta["usage"]) == ("stop", reply.meta["usage"])


def test_the_port_that_llama_opens_answers_nobody(model: WatchedModel) -> None:
    for path in ("/slots", "/props", "/v1/models", "/v1/chat/completions"):
        assert httpx.get(model._server.listening_address + path).status_code == 401
