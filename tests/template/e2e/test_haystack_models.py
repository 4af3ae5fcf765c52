"""Haystack models in a real server, asked by OpenAI's own client."""

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from openai.lib.streaming.chat import ChatCompletionStreamEvent

from app.engine.engine import BUFFER_LIMIT
from tests.template.e2e.clients import client_of, says
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.journal import Census
from tests.template.e2e.patience import eventually
from tests.template.e2e.server import Server
from tests.template.e2e.waiting import TORRENT_ITEM

SERVING = "tests.template.e2e.haystack_serving:create_app"
LEAVERS = 20
RECEIVE_BUFFER = 65536
SERVER_BUFFER = 65536  # what uvicorn lets wait before it makes the sender wait

EACH = pytest.mark.parametrize("stream", [False, True])
EACH_KIND = pytest.mark.parametrize("kind", ["async", "sync"])
EACH_PLACE = pytest.mark.parametrize("place", ["endless", "agent"])


class HaystackServer(Server):
    """The project's own server, with the models of `tests.template.e2e.haystack_serving` and the journal."""

    def __init__(self, log: Path) -> None:
        super().__init__(log, app=SERVING)
        self._has_journal = True


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with HaystackServer(tmp_path_factory.mktemp("haystack") / "log") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[OpenAI]:
    with client_of(server) as client:
        yield client


@pytest.fixture(autouse=True)
def leaves_nothing_behind(server: Server) -> Iterator[None]:
    """No task and no generator is left of what a test did, and no thread."""
    yield
    server.wait_until_idle()
    eventually(server.census, has_no_worker)


def has_no_worker(census: Census) -> bool:
    return not [name for name in census.threads if name.startswith("completion")]


def has_noticed(census: Census) -> bool:
    """Whether no completion is under way for the event loop; a thread may still be."""
    return not [name for name in census.tasks if name.startswith("Completion")]


def leave(server: Server, model: str, key: str, *, stream: bool) -> None:
    """Ask, wait until a component is at work, and leave."""
    with Connection(server.port) as connection:
        connection.post(chat(model, key, stream=stream))
        server.wait_for(key, "started")


def wait_for_starts(server: Server, key: str, number: int) -> None:
    """Wait until so many are at work."""
    eventually(lambda: server.events(key).count("started"), lambda started: started == number)


def events_of(client: OpenAI, model: str, content: str) -> list[dict[str, Any]]:
    """The events beside the text, as a client reads them that knows them."""
    with client.chat.completions.create(model=model, messages=says(content), stream=True) as stream:
        return [chunk.model_extra["event"] for chunk in stream if chunk.model_extra and "event" in chunk.model_extra]


@EACH_KIND
def test_the_client_gets_text_reasoning_calls_and_usage_whole(client: OpenAI, kind: str) -> None:
    completion = client.chat.completions.create(model=f"haystack-{kind}", messages=says("Hi"))

    message = completion.choices[0].message
    assert (message.content, message.model_extra) == ("Two calls.", {"reasoning_content": "Hm."})
    assert [(call.id, call.type) for call in message.tool_calls or ()] == [
        ("call_a", "function"),
        ("call_b", "function"),
    ]
    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 8


@EACH_KIND
def test_the_client_adds_a_stream_up_to_the_same(client: OpenAI, kind: str) -> None:
    events: list[ChatCompletionStreamEvent[None]] = []
    with client.chat.completions.stream(
        model=f"haystack-{kind}", messages=says("Hi"), stream_options={"include_usage": True}
    ) as stream:
        events.extend(stream)
        completion = stream.get_final_completion()

    assert [event.delta for event in events if event.type == "content.delta"] == ["", "Two ", "calls."]
    message = completion.choices[0].message
    assert message.content == "Two calls."
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    assert calls == [("call_a", "first", '{"x": 1}'), ("call_b", "second", "{}")]
    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 8


@EACH
def test_an_agent_calls_its_tool_and_the_client_gets_text(client: OpenAI, stream: bool) -> None:
    if not stream:
        choice = client.chat.completions.create(model="haystack-agent", messages=says("Rome?")).choices[0]
    else:
        with client.chat.completions.stream(model="haystack-agent", messages=says("Rome?")) as answer:
            choice = answer.get_final_completion().choices[0]

    assert choice.message.content == "Let me look.\n\nIt rains."
    assert (choice.message.tool_calls or [], choice.finish_reason) == ([], "stop")


def test_the_client_can_see_what_an_agent_does(client: OpenAI) -> None:
    events = events_of(client, "haystack-agent", "Rome?")

    assert [event["data"]["description"] for event in events] == ["Calling weather", "Called weather"]


def test_the_client_can_see_what_an_answer_rests_on(client: OpenAI) -> None:
    (event,) = events_of(client, "haystack-rag", "cats")

    assert (event["type"], event["data"]["source"]["name"]) == ("citation", "cats.md")


@EACH
@EACH_KIND
def test_many_clients_at_once_get_their_own_answers(client: OpenAI, kind: str, stream: bool) -> None:
    def answer(number: int) -> str:
        messages = says(f"{number} and {number}")
        if not stream:
            whole = client.chat.completions.create(model=f"haystack-echo-{kind}", messages=messages)
            return whole.choices[0].message.content or ""
        with client.chat.completions.create(model=f"haystack-echo-{kind}", messages=messages, stream=True) as chunks:
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    with ThreadPoolExecutor(25) as threads:
        assert list(threads.map(answer, range(50))) == [f"{number} and {number} " for number in range(50)]


@EACH
@EACH_KIND
@EACH_PLACE
def test_a_generator_is_stopped_when_its_client_leaves(
    server: Server, key: str, place: str, kind: str, stream: bool
) -> None:
    leave(server, f"haystack-{place}-{kind}", key, stream=stream)

    assert server.wait_for(key, "closed") == ["started", "CancelledError", "closed"]


@EACH
def test_a_pipeline_that_waits_is_stopped_when_its_client_leaves(server: Server, key: str, stream: bool) -> None:
    leave(server, "haystack-gated-async", key, stream=stream)

    assert server.wait_for(key, "closed") == ["started", "CancelledError", "closed"]


@EACH
def test_a_pipeline_that_blocks_stops_before_its_next_component(server: Server, key: str, stream: bool) -> None:
    leave(server, "haystack-gated-sync", key, stream=stream)

    eventually(server.census, has_noticed)
    server.open_gate(key)
    server.wait_for(key, "closed")
    eventually(server.census, has_no_worker)
    assert server.events(key) == ["started", "finished", "closed"]


@EACH
@EACH_KIND
@EACH_PLACE
def test_nothing_is_left_of_many_who_leave(server: Server, key: str, place: str, kind: str, stream: bool) -> None:
    before = server.census().files
    for number in range(LEAVERS):
        with Connection(server.port) as connection:
            connection.post(chat(f"haystack-{place}-{kind}", key, stream=stream))
            wait_for_starts(server, key, number + 1)

    eventually(lambda: Counter(server.events(key)), lambda events: events["closed"] == LEAVERS)
    assert Counter(server.events(key)) == dict.fromkeys(("started", "CancelledError", "closed"), LEAVERS)
    server.wait_until_idle()
    eventually(server.census, lambda now: has_no_worker(now) and now.files <= before)


@EACH
@EACH_KIND
def test_a_model_that_outlives_its_client_runs_to_its_end(server: Server, key: str, kind: str, stream: bool) -> None:
    leave(server, f"haystack-faithful-{kind}", key, stream=stream)

    seen = server.items(key)
    eventually(lambda: server.items(key), lambda items: items > seen + 2 * BUFFER_LIMIT)
    server.open_gate(key)
    assert server.wait_for(key, "closed") == ["started", "finished", "closed"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much a socket may hold")
@EACH_KIND
def test_a_generator_makes_no_more_than_the_buffers_hold(server: Server, key: str, kind: str) -> None:
    send_buffer = int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text(encoding="ascii").split()[2])
    held = 2 * RECEIVE_BUFFER + send_buffer + SERVER_BUFFER  # the system doubles the first
    most = 2 * BUFFER_LIMIT + held // len(TORRENT_ITEM)
    looks: list[int] = []

    with Connection(server.port, receive_buffer=RECEIVE_BUFFER) as connection:
        connection.post(chat(f"haystack-torrent-{kind}", key, stream=True))
        connection.read_until(b"yyy")
        while len(looks) < 10 or looks[-10] < looks[-1]:  # until it stands still
            assert server.models()
            looks.append(server.items(key))
            assert looks[-1] <= most

    assert server.wait_for(key, "closed") == ["started", "CancelledError", "closed"]


def test_a_model_is_made_once_for_many_who_ask_first_and_closed_with_the_server(tmp_path: Path) -> None:
    with HaystackServer(tmp_path / "log") as server, client_of(server) as client:
        assert server.events("made") == []

        def answer(number: int) -> str | None:
            completion = client.chat.completions.create(model="haystack-made", messages=says(f"{number}"))
            return completion.choices[0].message.content

        with ThreadPoolExecutor(10) as threads:
            assert list(threads.map(answer, range(10))) == [f"{number} " for number in range(10)]
        events = server.events("made")
        assert events[:2] == ["made", "warmed up"]
        assert events.count("made") == 1
        assert "The generator was closed" not in server.log

    assert server.log.count("The generator was closed") == 1
