"""The local model, asked by OpenAI's own client. The application that it serves stands at the end of this file."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")

from litestar import Litestar
from openai import BadRequestError, OpenAI
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from app.app import create_app as create_project_app
from app.engine.run import is_cancelled
from app.local.model import LocalModel, OnItem
from app.registry import Pipelines
from schemas.chat import Json
from tests.template.e2e.clients import client_of, says
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.journal import JournalController, run_of
from tests.template.e2e.patience import eventually
from tests.template.e2e.server import Server

CAPITAL = says("What is the capital of France?")
ENDLESS = 1500  # tokens: 20 s and more
LATE = "late"


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the local model, and no other test's."""
    with serving(tmp_path_factory.mktemp("local") / "log") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[OpenAI]:
    with client_of(server) as client:
        yield client


def serving(log: Path, **settings: str) -> Server:
    return Server(log, app=f"{__name__}:create_app", settings=settings)


def ask(client: OpenAI) -> ChatCompletion:
    return client.chat.completions.create(model="local", messages=CAPITAL, temperature=0)


def answer_endlessly(server: Server, key: str, stack: ExitStack, *, stream: bool = True) -> None:
    """Ask for an answer that takes long, wait until it is under way, and leave when the stack ends."""
    connection = stack.enter_context(Connection(server.port))
    connection.post(chat("local", key, stream=stream))
    eventually(lambda: server.items(key), lambda items: items > 2)


def test_a_question_is_answered(client: OpenAI) -> None:
    completion = ask(client)

    assert completion.model == "local"
    assert completion.choices[0].finish_reason == "stop"
    assert "Paris" in (completion.choices[0].message.content or "")
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


def test_an_answer_comes_token_by_token_and_is_the_same(client: OpenAI) -> None:
    *chunks, last = client.chat.completions.create(
        model="local", messages=CAPITAL, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks]

    assert len([text for text in texts if text]) > 3
    assert "".join(texts) == ask(client).choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert last.usage is not None
    assert last.usage.completion_tokens > 3
    assert {chunk.model for chunk in chunks} == {"local"}


def test_openai_s_parameters_are_honoured(client: OpenAI) -> None:
    short = client.chat.completions.create(model="local", messages=CAPITAL, temperature=0, max_tokens=2)
    stopped = client.chat.completions.create(model="local", messages=CAPITAL, temperature=0, stop="Paris")
    seeded = [
        client.chat.completions.create(model="local", messages=CAPITAL, temperature=1, seed=7).choices[0].message
        for _ in range(2)
    ]

    assert short.choices[0].finish_reason == "length"
    assert short.usage is not None
    assert short.usage.completion_tokens == 2
    assert stopped.choices[0].finish_reason == "stop"
    assert "Paris" not in (stopped.choices[0].message.content or "")
    assert seeded[0] == seeded[1]


def test_an_answer_is_parsed_into_the_schema_that_was_asked_for(client: OpenAI) -> None:
    question = says("Tom is five years old. Give his name and age.")
    completion = client.chat.completions.parse(model="local", messages=question, response_format=Person, temperature=0)

    assert isinstance(completion.choices[0].message.parsed, Person)
    assert json.loads(completion.choices[0].message.content or "").keys() == {"name", "age"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_longer_than_the_context_is_refused(client: OpenAI, stream: bool) -> None:
    with pytest.raises(BadRequestError, match=r"21\d\d tokens") as caught:
        client.chat.completions.create(model="local", messages=says("word " * 2100), stream=stream)

    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")


def test_four_clients_at_once_are_all_answered(client: OpenAI) -> None:
    with ThreadPoolExecutor(4) as threads:
        completions = list(threads.map(lambda _: ask(client), range(4)))

    assert ["Paris" in (completion.choices[0].message.content or "") for completion in completions] == [True] * 4


@pytest.mark.parametrize("stream", [False, True])
def test_it_stops_within_a_token_when_its_client_leaves(server: Server, key: str, stream: bool) -> None:
    with ExitStack() as stack:
        answer_endlessly(server, key, stack, stream=stream)

    events = server.wait_for(key, "closed")
    assert events in (["started", "closed"], ["started", "late item", "closed"])
    assert server.items(key) < ENDLESS


def test_a_client_that_leaves_the_queue_costs_nothing(server: Server, client: OpenAI, key: str) -> None:
    with ExitStack() as stack:
        for number in "12":
            answer_endlessly(server, key + number, stack)
        with Connection(server.port) as queued:
            queued.post(chat("local", f"{key}3", stream=True))
            eventually(server.census, lambda now: now.tasks.get("Completion._produce") == 3)
        eventually(server.census, lambda now: now.tasks.get("Completion._produce") == 2)

    assert "Paris" in (ask(client).choices[0].message.content or "")
    assert server.events(f"{key}3") == []


def test_other_requests_are_answered_while_it_answers(server: Server, key: str) -> None:
    with ExitStack() as stack:
        answer_endlessly(server, key, stack)
        seen = server.items(key)
        for _ in range(5):
            assert server.models()
        eventually(lambda: server.items(key), lambda items: items > seen)

    server.wait_for(key, "closed")


def test_other_requests_are_answered_while_it_loads(server: Server, client: OpenAI) -> None:
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(client.chat.completions.create, model=LATE, messages=CAPITAL, max_tokens=2)
        server.wait_for(LATE, "loading")
        for _ in range(5):
            assert server.models()
        server.open_gate(LATE)

    assert answer.result().choices[0].finish_reason == "length"


def test_the_server_stops_while_it_answers(tmp_path: Path, key: str) -> None:
    with ExitStack() as stack, serving(tmp_path / "log", SHUTDOWN_GRACE="0.1") as server:
        answer_endlessly(server, key, stack)


class NotedModel(LocalModel):
    """The model, which notes what happens to it. It does not stop by itself when it is asked with the key of a run."""

    def generate(self, request: Json, on_item: OnItem) -> None:
        run = run_of(request["messages"])

        def note(item: str | Json) -> bool:
            run.items += 1
            if is_cancelled():
                run.note("late item")
            return on_item(item)

        is_key = " " not in request["messages"][-1]["content"]
        run.note("started")
        super().generate(request | ({"ignore_eos": True, "max_tokens": ENDLESS} if is_key else {}), note)
        run.note("closed")


class LateModel(LocalModel):
    """The model, which loads when the test lets it."""

    def _load(self) -> None:
        run = run_of([{"role": "user", "content": LATE}])
        run.note("loading")
        run.block()
        super()._load()


def create_app() -> Litestar:
    pipelines = Pipelines()
    pipelines.add("local", NotedModel())
    pipelines.add(LATE, LateModel())

    app = create_project_app(pipelines=pipelines)
    app.register(JournalController)
    return app
