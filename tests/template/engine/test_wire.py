"""Values as bytes: valid UTF-8, valid JSON, and a frame on one line."""

import json

import pytest

from app.engine.frames import encode, frame, text_framer
from schemas.chat import ChatCompletionChunk, ChunkChoice, Delta, Json
from tests.template.factories import ChatCompletionChunkFactory, ChunkChoiceFactory

TEXTS = ["", "a", '"', "\\", "\n", "\r\n", "\x00", "\x85", "\u2028", "\u2029", "é", "🎉", "\ud800", "a\udfffb", '""']


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_valid_json_in_utf_8(text: str) -> None:
    replaced = text.replace("\ud800", "\ufffd").replace("\udfff", "\ufffd")

    assert json.loads(encode({"a": [text]})) == {"a": [replaced]}


@pytest.mark.parametrize("text", TEXTS)
def test_a_frame_is_one_line_whatever_ends_a_line(text: str) -> None:
    data = frame({"a": text})

    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    assert data.decode().splitlines() == [data.decode().removesuffix("\n\n"), ""]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("model", ["test", 'a""b', "é\u2028"])
def test_the_frame_of_a_text_is_that_of_a_chunk_with_this_content(model: str, text: str) -> None:
    def with_content(content: str) -> ChatCompletionChunk:
        choices = [ChunkChoice(delta=Delta(content=content))]
        return ChatCompletionChunk(id="chatcmpl-1", created=7, model=model, choices=choices, usage=None)

    framer = text_framer(with_content(""))

    assert framer(text) == frame(with_content(text))


def test_a_struct_leaves_out_what_is_unset() -> None:
    chunk = ChatCompletionChunk(id="a", created=7, model="b", choices=[ChunkChoice(delta=Delta(content="c"))])

    expected: Json = {
        "id": "a",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "b",
        "choices": [{"index": 0, "delta": {"content": "c"}, "finish_reason": None}],
    }
    assert json.loads(encode(chunk)) == expected


def test_a_surrogate_deep_in_a_struct_is_replaced() -> None:
    chunk = ChatCompletionChunkFactory.build(choices=[ChunkChoiceFactory.build(delta=Delta(content="a\ud800"))])

    assert json.loads(encode(chunk))["choices"][0]["delta"] == {"content": "a\ufffd"}
