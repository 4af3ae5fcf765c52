import json
import re

import httpx
import pytest

from tests.template.e2e.answering import AWKWARD
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.server import Server
from tests.template.e2e.sse import EVENT_STREAM, chunks_of, deltas_of, frames_of

PATH = "/v1/chat/completions"


@pytest.mark.parametrize("path", [PATH, "/chat/completions", "/v1//chat/completions"])
def test_a_stream_has_the_headers_that_keep_it_flowing(http: httpx.Client, path: str) -> None:
    response = http.post(path, json=chat("generator", "Hello!", stream=True))

    assert response.status_code == 200
    assert response.headers["content-type"] == EVENT_STREAM
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert "content-length" not in response.headers


def test_a_stream_is_exactly_what_openai_would_send(http: httpx.Client) -> None:
    response = http.post(PATH, json=chat("generator", "Hello!", stream=True))

    chunks = chunks_of(response)
    head = {name: chunks[0][name] for name in ("id", "object", "created", "model")}
    assert re.fullmatch(r"chatcmpl-[A-Za-z0-9_-]{29,}", head["id"])
    assert (head["object"], head["model"]) == ("chat.completion.chunk", "generator")
    assert chunks == [
        head | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for delta, reason in [
            ({"role": "assistant", "content": ""}, None),
            ({"content": "Hello"}, None),
            ({"content": ", world"}, None),
            ({}, "stop"),
        ]
    ]


def test_done_is_the_last_frame_and_the_only_one_of_its_kind(http: httpx.Client) -> None:
    frames = frames_of(http.post(PATH, json=chat("generator", "Hello!", stream=True)))

    assert [position for position, frame in enumerate(frames) if frame == "[DONE]"] == [len(frames) - 1]


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}])
def test_without_being_asked_no_chunk_has_the_key_of_usage(http: httpx.Client, options: object) -> None:
    response = http.post(PATH, json=chat("usage", "Hello!", stream=True, stream_options=options))

    assert not [chunk for chunk in chunks_of(response) if "usage" in chunk]


def test_when_asked_every_chunk_has_the_key_of_usage(http: httpx.Client) -> None:
    response = http.post(PATH, json=chat("usage", "Hello!", stream=True, stream_options={"include_usage": True}))

    *chunks, last = chunks_of(response)
    assert [chunk["usage"] for chunk in chunks] == [None] * len(chunks)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.mark.parametrize("stream", [None, False])
def test_what_is_not_streamed_is_one_object(http: httpx.Client, stream: object) -> None:
    response = http.post(PATH, json=chat("generator", "Hello!", stream=stream))

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert answer == {
        "id": answer["id"],
        "object": "chat.completion",
        "created": answer["created"],
        "model": "generator",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello, world", "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
    }


def test_awkward_text_keeps_each_frame_on_one_line_of_utf_8(http: httpx.Client) -> None:
    response = http.post(PATH, json=chat("awkward", "Hello!", stream=True))

    assert len(response.content.decode().splitlines()) == 2 * len(frames_of(response))  # a frame and an empty line
    text = "".join(delta.get("content", "") for delta in deltas_of(response))
    assert text == AWKWARD.replace("\udfff", "\ufffd")


def test_custom_events_stand_in_their_place_and_are_chunks_too(shipped: Server) -> None:
    response = httpx.post(f"{shipped.url}{PATH}", json=chat("events", "Hello!", stream=True))

    assert [
        (chunk.get("event", {}).get("data", {}).get("done"), len(chunk["choices"])) for chunk in chunks_of(response)
    ][-4:] == [(False, 0), (True, 0), (None, 1), (None, 1)]
    assert "".join(delta.get("content", "") for delta in deltas_of(response)) == "!olleH"


def test_custom_events_are_left_out_when_collecting(shipped: Server) -> None:
    response = httpx.post(f"{shipped.url}{PATH}", json=chat("events", "Hello!"))

    assert "event" not in response.json()
    assert response.json()["choices"][0]["message"]["content"] == "!olleH"


def test_chunks_that_wait_together_go_out_together(server: Server) -> None:
    with Connection(server.port) as connection:
        connection.post(chat("burst", "Hello!", stream=True))
        body = connection.read_until(b"\r\n0\r\n\r\n").partition(b"\r\n\r\n")[2]

    frames = body.count(b"data: ")
    writes = len(re.findall(rb"(?:^|\r\n)[0-9a-f]+\r\n(?=data: )", body))
    assert frames == 103
    assert writes < frames / 2


@pytest.mark.parametrize("model", ["generator", "async-generator", "crash-after", "crash", "crash-before"])
def test_a_connection_serves_more_after_a_stream_however_that_ended(server: Server, model: str) -> None:
    with Connection(server.port) as connection:
        for _ in range(3):
            connection.received = b""
            connection.post(chat(model, "Hello!", stream=True))
            connection.read_until(b"0\r\n\r\n" if model in ("generator", "async-generator", "crash-after") else b"}}")
        connection.received = b""
        connection.post(chat("function", "Hello!"))
        head, _, body = connection.read_until(b"}]}").partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert json.loads(body)["choices"][0]["message"]["content"] == "Hello, world"
