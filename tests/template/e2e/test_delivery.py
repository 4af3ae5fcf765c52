"""Streams over a socket: chunks arrive as they are made, comments disturb no client, connections serve on."""

import threading

import pytest
from openai import APIError, OpenAI

from tests.template.e2e.connection import Connection, chat, says
from tests.template.e2e.server import Server


@pytest.mark.parametrize("model", ["gated-async-generator", "gated-generator"])
def test_a_chunk_arrives_while_its_generator_is_at_work(server: Server, key: str, model: str) -> None:
    with server.openai() as client:
        stream = client.chat.completions.create(model=model, messages=says(key), stream=True)
        assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "first"]
        assert "finished" not in server.events(key)

        server.open_gate(key)
        assert [chunk.choices[0].delta.content for chunk in stream] == [" second", None]
    assert server.wait_for(key, "closed")[-2:] == ["finished", "closed"]


@pytest.mark.parametrize(
    ("model", "text"), [("gated-generator", "first second"), ("late-async-generator", "first"), ("late-failure", None)]
)
def test_openais_client_does_not_see_the_comments_of_an_idle_stream(
    talkative: Server, key: str, model: str, text: str | None
) -> None:
    opening = threading.Timer(0.5, talkative.open_gate, [key])  # some comments later

    def ask(client: OpenAI) -> str:
        stream = client.chat.completions.create(model=model, messages=says(key), stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    opening.start()
    with talkative.openai() as client:
        if text is None:
            with pytest.raises(APIError, match="The server had an error"):
                ask(client)
        else:
            assert ask(client) == text
    opening.join()


@pytest.mark.parametrize(
    ("model", "end"),
    [
        ("generator", b"0\r\n\r\n"),
        ("async-generator", b"0\r\n\r\n"),
        ("crash-after", b"0\r\n\r\n"),
        ("crash", b"}}"),
        ("crash-before", b"}}"),
    ],
)
def test_a_connection_serves_more_requests_however_a_stream_ended(server: Server, model: str, end: bytes) -> None:
    with Connection(server.port) as connection:
        for _ in range(2):
            connection.post(chat(model, "Hello!", stream=True))
            connection.read_until(end)
            connection.received = b""
        connection.post(chat("function", "Hello!"))
        answer = connection.read_until(b"}}")

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b'"content":"Hello, world"' in answer
