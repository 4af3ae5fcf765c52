import threading

import httpx
import pytest
from openai import APIError, AsyncOpenAI, InternalServerError, OpenAI

from tests.template.e2e.clients import client_of, says
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.patience import eventually
from tests.template.e2e.server import Server
from tests.template.e2e.waiting import FLOOD

COMMENT = b": keep-alive\n\n"
GATED = ["gated-async-generator", "gated-generator"]
LATE = ["late-async-generator", "late-generator"]


@pytest.mark.parametrize("model", GATED)
def test_a_chunk_arrives_while_its_generator_is_at_work(server: Server, client: OpenAI, key: str, model: str) -> None:
    stream = client.chat.completions.create(model=model, messages=says(key), stream=True)

    assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "first"]
    assert "finished" not in server.events(key)

    server.open_gate(key)
    assert [chunk.choices[0].delta.content for chunk in stream] == [" second", None]
    assert server.wait_for(key, "closed")[-2:] == ["finished", "closed"]


@pytest.mark.anyio
async def test_the_async_client_gets_a_chunk_while_its_generator_is_at_work(
    server: Server, async_client: AsyncOpenAI, key: str
) -> None:
    stream = await async_client.chat.completions.create(model="gated-async-generator", messages=says(key), stream=True)

    assert [(await anext(stream)).choices[0].delta.content for _ in range(2)] == ["", "first"]
    server.open_gate(key)
    assert [chunk.choices[0].delta.content async for chunk in stream] == [" second", None]


@pytest.mark.parametrize("model", LATE)
def test_the_status_line_is_not_sent_before_the_first_item(server: Server, key: str, model: str) -> None:
    with Connection(server.port) as connection:
        connection.post(chat(model, key, stream=True))
        server.wait_for(key, "started")
        assert connection.is_silent

        server.open_gate(key)
        assert connection.read_until(b"[DONE]").startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_error_instead_of_a_late_first_item_is_one_of_http(server: Server, client: OpenAI, key: str) -> None:
    opening = threading.Timer(0.1, server.open_gate, [key])
    opening.start()

    with pytest.raises(InternalServerError):
        client.chat.completions.create(model="late-failure", messages=says(key), stream=True)
    opening.join()


@pytest.mark.parametrize("model", GATED)
def test_a_silent_stream_gets_a_comment(talkative: Server, key: str, model: str) -> None:
    with Connection(talkative.port) as connection:
        connection.post(chat(model, key, stream=True))
        before = connection.read_until(COMMENT)
        talkative.open_gate(key)
        whole = connection.read_until(b"[DONE]")

    assert before.index(b'"first"') < before.index(COMMENT)
    assert whole.index(COMMENT) < whole.index(b'" second"')


@pytest.mark.parametrize("model", LATE)
def test_a_stream_that_waits_for_its_first_item_gets_a_comment(talkative: Server, key: str, model: str) -> None:
    with Connection(talkative.port) as connection:
        connection.post(chat(model, key, stream=True))
        before = connection.read_until(COMMENT)
        talkative.open_gate(key)
        after = connection.read_until(b"[DONE]").removeprefix(before)

    assert before.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"data:" not in before
    assert after.index(b'"role":"assistant"') < after.index(b'"first"')


def test_an_error_after_a_comment_is_a_frame(talkative: Server, key: str) -> None:
    with Connection(talkative.port) as connection:
        connection.post(chat("late-failure", key, stream=True))
        before = connection.read_until(COMMENT)
        talkative.open_gate(key)
        frames = connection.read_until(b"[DONE]").removeprefix(before)

    assert frames.count(b"data: ") == 2
    assert b'data: {"error":{"message":"The server had an error' in frames


@pytest.mark.parametrize("model", GATED + LATE)
def test_openai_s_client_does_not_see_the_comments(talkative: Server, key: str, model: str) -> None:
    opening = threading.Timer(0.7, talkative.open_gate, [key])
    opening.start()

    with client_of(talkative) as client:
        stream = client.chat.completions.create(model=model, messages=says(key), stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    opening.join()

    assert text == ("first second" if model in GATED else "first")


def test_openai_s_client_reads_an_error_after_the_comments(talkative: Server, key: str) -> None:
    opening = threading.Timer(0.7, talkative.open_gate, [key])
    opening.start()

    with client_of(talkative) as client, pytest.raises(APIError, match="The server had an error"):
        list(client.chat.completions.create(model="late-failure", messages=says(key), stream=True))
    opening.join()


@pytest.mark.parametrize("model", ["flood", "async-flood"])
def test_a_generator_waits_for_a_slow_client(server: Server, key: str, model: str) -> None:
    with Connection(server.port, receive_buffer=65536) as connection:
        connection.post(chat(model, key, stream=True))
        connection.read_until(b"xxx")
        made = until_it_rests(server, key)
        assert made < FLOOD / 2

        received = 0
        while server.items(key) < FLOOD:
            received += connection.skip()
        assert received > 0


def until_it_rests(server: Server, key: str) -> int:
    """How many items a run has made when it makes no more for twenty looks."""
    looks = [server.items(key)]

    def look() -> list[int]:
        looks.append(server.items(key))
        return looks[-20:]

    return eventually(look, lambda last: len(last) == 20 and len(set(last)) == 1)[0]


def test_other_clients_are_served_while_one_is_slow(server: Server, http: httpx.Client, key: str) -> None:
    with Connection(server.port, receive_buffer=65536) as connection:
        connection.post(chat("async-flood", key, stream=True))
        connection.read_until(b"xxx")

        response = http.post("/v1/chat/completions", json=chat("generator", "Hello!", stream=True))

    assert response.is_success
