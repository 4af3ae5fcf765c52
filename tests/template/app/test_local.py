"""The local model: what of a request reaches it, and what of its answer comes out."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")

from haystack import Pipeline
from haystack.dataclasses import ChatMessage, StreamingChunk

from app.engine.results import Item
from app.engine.run import Run, current_run
from app.engine.threads import Workers
from app.errors import CompletionError, InvalidRequestError
from app.local.generator import LocalChatGenerator
from app.local.model import LocalModel, is_installed, to_request
from app.services import Body, Messages
from schemas.chat import Json

ROOT = Path(__file__).parents[3]
ENDS_AT_ONCE = """
from litestar.testing import TestClient
from app.app import create_app

with TestClient(create_app()) as client:
    client.get("/v1/models").raise_for_status()
"""
CAPITAL: Messages = [{"role": "user", "content": "What is the capital of France?"}]
STORY: Messages = [{"role": "user", "content": "Write a long story about a dragon."}]
TOO_LONG: Messages = [{"role": "user", "content": "word " * 2100}]
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model() -> Iterator[LocalModel]:
    model = LocalModel()
    asyncio.run(model.start())
    yield model
    model.close()


def answer(model: LocalModel, messages: Messages, **body: object) -> list[Item]:
    """All items of an answer, at temperature 0 unless the body has another."""
    items: list[Item] = []

    def note(item: Item) -> bool:
        items.append(item)
        return True

    model.generate(to_request(messages, {"temperature": 0, **body}), note)
    return items


def text_of(items: list[Item]) -> str:
    return "".join(item for item in items if isinstance(item, str))


def finish_reason_of(items: list[Item]) -> str:
    """The finish reason, which comes just before the usage."""
    finish = items[-2]
    assert isinstance(finish, dict)
    (choice,) = finish["choices"]
    assert choice.keys() == {"delta", "finish_reason"}
    return str(choice["finish_reason"])


def usage_of(items: list[Item]) -> Json:
    """The usage, which is the last item and nothing beside it."""
    last = items[-1]
    assert isinstance(last, dict)
    assert last.keys() == {"choices", "usage"}
    usage: Json = last["usage"]
    return usage


def test_it_is_installed_with_the_extra() -> None:
    assert is_installed()
    assert is_installed("/any/path.gguf")


def test_an_answer_is_texts_a_finish_reason_and_the_usage(model: LocalModel) -> None:
    items = answer(model, CAPITAL)

    assert "Paris" in text_of(items)
    assert len([item for item in items if isinstance(item, str)]) > 1
    assert finish_reason_of(items) == "stop"
    usage = usage_of(items)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_an_answer_that_reaches_its_limit_says_so(model: LocalModel, limit: str) -> None:
    items = answer(model, STORY, **{limit: 5})

    assert finish_reason_of(items) == "length"
    assert usage_of(items)["completion_tokens"] == 5


def test_a_stop_sequence_ends_the_answer_before_it(model: LocalModel) -> None:
    whole = text_of(answer(model, CAPITAL))
    items = answer(model, CAPITAL, stop=["Paris"])

    assert text_of(items) == whole.partition("Paris")[0]
    assert finish_reason_of(items) == "stop"


def test_a_seed_makes_an_answer_come_again(model: LocalModel) -> None:
    first, again, other = (text_of(answer(model, STORY, temperature=1, seed=seed, max_tokens=16)) for seed in (7, 7, 8))

    assert first == again
    assert first != other


def test_an_answer_keeps_to_a_json_schema(model: LocalModel) -> None:
    question: Messages = [{"role": "user", "content": "Tom is five years old. Give his name and age."}]
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}

    person = json.loads(text_of(answer(model, question, response_format=wanted)))

    assert person.keys() == {"name", "age"}
    assert type(person["age"]) is int


@pytest.mark.parametrize("schema", [{"type": "nope"}, {"type": "object", "properties": 1}])
def test_a_wrong_json_schema_is_an_error_that_names_the_field(model: LocalModel, schema: Json) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "wrong", "schema": schema}}

    with pytest.raises(InvalidRequestError) as caught:
        answer(model, CAPITAL, response_format=wanted)

    assert caught.value.param == "response_format"


def test_a_prompt_longer_than_the_context_is_an_error_with_both_numbers(model: LocalModel) -> None:
    with pytest.raises(CompletionError, match=r"21\d\d tokens long, .* holds 2048") as caught:
        answer(model, TOO_LONG)

    error = caught.value
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "messages")


def test_it_stops_when_the_answer_is_no_longer_wanted(model: LocalModel) -> None:
    items: list[Item] = []

    def take_three(item: Item) -> bool:
        items.append(item)
        return len(items) < 3

    model.generate(to_request(STORY, {}), take_three)

    assert len(items) == 3
    assert all(isinstance(item, str) for item in items)


def test_it_stops_when_the_callback_raises_and_raises_the_same(model: LocalModel) -> None:
    items: list[Item] = []

    def fail(item: Item) -> bool:
        items.append(item)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        model.generate(to_request(STORY, {}), fail)

    assert len(items) == 1


class Leaving(Run):
    """A completion whose client leaves, seen from within: at the third look it has gone."""

    looks = 0

    @property
    def cancelled(self) -> bool:
        self.looks += 1
        return self.looks >= 3

    @cancelled.setter
    def cancelled(self, value: bool) -> None:
        """Nobody else cancels it."""


def test_it_stops_in_the_middle_of_a_prompt_when_the_client_leaves(model: LocalModel) -> None:
    run = Leaving(Workers(1), outlives_client=False)
    token = current_run.set(run)
    try:
        items = answer(model, [{"role": "user", "content": "word " * 1000}])
    finally:
        current_run.reset(token)

    assert (run.looks, items) == (3, [])


def test_several_threads_are_answered_at_once(model: LocalModel) -> None:
    answers: list[list[Item]] = []
    threads = [threading.Thread(target=lambda: answers.append(answer(model, CAPITAL))) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["Paris" in text_of(items) for items in answers] == [True] * 4


def test_the_port_that_llama_opens_answers_nobody(model: LocalModel) -> None:
    for path in ("/slots", "/props", "/v1/models", "/v1/chat/completions"):
        assert httpx.get(model._server.listening_address + path).status_code == 401


def test_two_event_loops_may_start_it_at_the_same_time() -> None:
    model = LocalModel()
    servers: list[object] = []

    async def start() -> None:
        await asyncio.gather(model.start(), model.start())
        servers.append(model._server)

    threads = [threading.Thread(target=lambda: asyncio.run(start())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert servers[0] is servers[1] is not None


def test_it_may_be_closed_and_started_again() -> None:
    model = LocalModel()
    asyncio.run(model.start())
    port = int(model._server.listening_address.rpartition(":")[2])
    model.close()

    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass
    with pytest.raises(RuntimeError, match="not loaded"):
        answer(model, CAPITAL)
    asyncio.run(model.start())
    assert "Paris" in text_of(answer(model, CAPITAL))


def test_closing_ends_an_answer_with_an_error() -> None:
    model = LocalModel()
    asyncio.run(model.start())

    def close(item: Item) -> bool:
        model.close()
        return True

    with pytest.raises(RuntimeError, match="was closed while it answered"):
        model.generate(to_request(STORY, {}), close)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.gguf"

    with pytest.raises(RuntimeError, match=r"none\.gguf' does not exist\. Set LOCAL_MODEL_PATH"):
        asyncio.run(LocalModel(str(missing)).start())


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF but no more")

    with pytest.raises(RuntimeError, match=r"broken\.gguf could not be loaded"):
        asyncio.run(LocalModel(str(broken)).start())


def test_llama_writes_nothing_to_the_terminal(model: LocalModel, capfd: pytest.CaptureFixture[str]) -> None:
    answer(model, CAPITAL)

    assert capfd.readouterr() == ("", "")


def test_a_conversation_without_a_system_message_gets_one() -> None:
    messages = to_request(CAPITAL, {})["messages"]

    assert [message["role"] for message in messages] == ["system", "user"]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_conversation_keeps_its_own_system_message(role: str) -> None:
    messages = to_request([{"role": role, "content": "Be brief."}, *CAPITAL], {})["messages"]

    assert messages == [{"role": "system", "content": "Be brief."}, *CAPITAL]


def test_the_parts_of_a_message_become_one_text() -> None:
    parts: list[Json] = [{"type": "text", "text": "one"}, {"type": "refusal", "refusal": "two"}]
    messages = to_request([{"role": "user", "content": parts}, {"role": "assistant", "content": None}], {})["messages"]

    assert [message["content"] for message in messages[1:]] == ["one\ntwo", ""]


@pytest.mark.parametrize("part", [{"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "text"}, {}])
def test_a_message_that_holds_more_than_text_is_named(part: Json) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        to_request([*CAPITAL, {"role": "user", "content": [part]}], {})

    assert caught.value.param == "messages[1]"


def test_several_answers_at_once_are_refused() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        to_request(CAPITAL, {"n": 2})

    assert caught.value.param == "n"


def test_llama_is_told_what_it_may_know_and_no_more() -> None:
    body: Body = {"model": "local", "n": 1, "stream": False, "top_p": 0.5, "seed": None, "cache_prompt": 1, "user": "x"}
    request = to_request(CAPITAL, body)

    assert request["top_p"] == 0.5
    assert (request["temperature"], request["max_tokens"], request["stream"]) == (0, 512, True)
    assert not request.keys() & {"model", "n", "seed", "cache_prompt", "user"}


def test_a_process_that_ends_while_the_model_loads_ends_well() -> None:
    ended = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", ENDS_AT_ONCE], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_haystack_pipeline_is_answered(streamed: bool) -> None:
    model = LocalModel()
    pipeline = Pipeline()
    pipeline.add_component("llm", LocalChatGenerator(model, {"temperature": 0}))
    chunks: list[StreamingChunk] = []

    def note(chunk: StreamingChunk) -> None:
        chunks.append(chunk)

    await pipeline.warm_up_async()
    data = {"messages": [ChatMessage.from_user("What is the capital of France?")]}
    result = await pipeline.run_async({"llm": data | ({"streaming_callback": note} if streamed else {})})
    model.close()

    (reply,) = result["llm"]["replies"]
    assert "Paris" in reply.text
    assert reply.meta.keys() == {"model", "index", "finish_reason", "usage"}
    assert (reply.meta["model"], reply.meta["finish_reason"]) == ("local", "stop")
    if streamed:
        *texts, finish, usage = chunks
        assert "".join(chunk.content for chunk in texts) == reply.text
        assert [chunk.start for chunk in texts] == [True] + [False] * (len(texts) - 1)
        assert finish.finish_reason == "stop"
        assert usage.meta["usage"] == reply.meta["usage"]


def test_a_callback_of_haystack_that_raises_stops_the_run(model: LocalModel) -> None:
    chunks: list[StreamingChunk] = []

    def fail(chunk: StreamingChunk) -> None:
        chunks.append(chunk)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        LocalChatGenerator(model).run([ChatMessage.from_user("Write a long story.")], fail)

    assert len(chunks) == 1
