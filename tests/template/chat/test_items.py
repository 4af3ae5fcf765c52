"""What single items and results become; the properties beside this file cover the forms of them in general."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy
import pytest
from haystack.dataclasses import ChatMessage, ReasoningContent, StreamingChunk, ToolCall

from app.services import Hooks
from schemas.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    Delta,
    Json,
    Message,
    Usage,
)
from tests.conftest import SERVER_ERROR, Serve, ask, error_of, message_of, returning, streamed_text, yielding
from tests.template.chat.samples import Markup
from tests.template.chat.scripted import Scripted
from tests.template.conftest import UNEXPECTED, choice, chunk, completion, deltas_of, stream

CALL: Json = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
USAGE: Json = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
TEXTS = ("Hel", "lo!")


class Word(StrEnum):
    HELLO = "Hello!"


class AsyncTexts:
    """An object that can be iterated, and is no iterator itself."""

    async def __aiter__(self) -> AsyncIterator[str]:
        for text in TEXTS:
            yield text


class NamedChunk(ChatCompletionChunk, kw_only=True):
    provider: str = ""


class NamedDelta(Delta, kw_only=True):
    note: str = ""


@dataclass
class Token:
    content: str | None


@dataclass
class Percentage:
    value: int

    def __str__(self) -> str:
        return f"{self.value} %"


def haystack_chunk(content: object = "", **fields: Any) -> SimpleNamespace:
    """Return an object with the attributes of Haystack's chunk, several of which may be set."""
    empty: Json = {"tool_calls": None, "reasoning": None, "finish_reason": None, "meta": {}}
    return SimpleNamespace(**{"content": content, **empty, **fields})


def haystack_message(text: str | None = None, **fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"text": text, "tool_calls": [], "meta": {}, "reasoning": None, **fields})


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (Word.HELLO, "Hello!"),
        (Markup("Hello!"), "Hello!"),
        (numpy.str_("Hello!"), "Hello!"),
        (Delta(content=Markup("Hello!")), "Hello!"),
        pytest.param(Token(Markup("Hello!")), "Hello!", id="Markup by the chunk mapper"),
        (Token("Hello!"), "Hello!"),
        (Token(None), ""),
        (Percentage(7), "7 %"),
        (42, "42"),
        ({"a": 1}, "{'a': 1}"),
        (StreamingChunk("Hello!"), "Hello!"),
        (ChatMessage.from_assistant("Hello!"), "Hello!"),
        (haystack_message("Hello!", meta=None), "Hello!"),
        (haystack_message("Hello!", meta={"usage": None, "finish_reason": None}), "Hello!"),
    ],
    ids=repr,
)
def test_an_item_of_any_type_is_its_content_or_its_text(scripted: Scripted, item: object, text: str) -> None:
    deltas = [{"content": part} for part in (text, " Yes.") if part]

    assert scripted.chunks(yielding(item, " Yes.")) == stream(*deltas)
    assert scripted.completion(yielding(item, " Yes.")) == completion(f"{text} Yes.")


@pytest.mark.parametrize(
    "result",
    [list(TEXTS), TEXTS, set(TEXTS[:1]), dict.fromkeys(TEXTS).keys(), numpy.array(TEXTS), AsyncTexts()],
    ids=lambda result: type(result).__name__,
)
def test_a_result_that_can_be_iterated_is_read_as_an_iterator(scripted: Scripted, result: Any) -> None:
    texts = TEXTS[:1] if isinstance(result, set) else TEXTS

    assert scripted.completion(result) == completion("".join(texts))
    assert scripted.chunks(result) == stream(*({"content": text} for text in texts))


def test_numbers_of_tokens_may_be_of_any_integral_type(scripted: Scripted) -> None:
    numbers: Any = {"prompt_tokens": numpy.int64(3), "completion_tokens": numpy.uint8(4)}
    details: Any = {"prompt_tokens_details": {"cached_tokens": numpy.int64(1)}}
    for usage in (
        Usage(**numbers, **details),
        {"usage": numbers | details},
        haystack_chunk(meta={"usage": numbers | details}),
    ):
        *_, last = scripted.chunks(yielding("Hello!", usage), include_usage=True)

        whole = scripted.completion(yielding("Hello!", usage))["usage"]
        assert whole == last["usage"] == {**USAGE, "prompt_tokens_details": {"cached_tokens": 1}}


def test_a_field_that_is_an_empty_text_takes_no_text_from_the_content(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the field had been added to the Struct itself: the bytes around a text are encoded once."""
    named = NamedChunk(choices=[ChunkChoice(delta=NamedDelta(content="Hello!"))])
    monkeypatch.setattr("app.engine.chat.ChatCompletionChunk", NamedChunk)

    for items in (["Hello!"], [named], [Delta(content="Hello!")], [NamedDelta(content="Hello!")]):
        _, text, *_ = scripted.chunks(yielding(*items))
        assert (text["choices"][0]["delta"]["content"], text.get("provider", "")) == ("Hello!", "")
        assert text["choices"][0]["delta"].get("note", "") == ""
        message = scripted.completion(yielding(*items))["choices"][0]["message"]
        assert (message["content"], message.get("note", "")) == ("Hello!", "")


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": None, "usage": USAGE},
        {"object": "chat.completion.chunk", "usage": USAGE},
        {"usage": USAGE},
        {"id": None, "model": None, "choices": [{"index": None, "delta": None, "logprobs": None}], "usage": USAGE},
        {"choices": [{"delta": {"role": None, "content": None, "tool_calls": None, "mine": None}}], "usage": USAGE},
    ],
    ids=repr,
)
def test_a_chunk_that_lacks_fields_or_has_nulls_says_nothing_by_them(scripted: Scripted, chunk: Json) -> None:
    expected = stream({"content": "a"}, {"content": "b"})

    assert scripted.chunks(yielding("a", chunk, "b")) == expected
    assert scripted.chunks(yielding("a", chunk, "b"), include_usage=True)[-1]["usage"] == USAGE
    assert scripted.completion(yielding("a", chunk, "b")) == completion("ab") | {"usage": USAGE}


@pytest.mark.parametrize("given", [lambda whole: whole, yielding], ids=["returned", "yielded"])
def test_nulls_of_a_whole_completion_are_filled_in(scripted: Scripted, given: Callable[[Json], object]) -> None:
    message = {"role": None, "content": "Hello!", "tool_calls": None, "refusal": None}
    choice = {"index": None, "message": message, "finish_reason": None, "logprobs": None}
    whole = {"id": None, "created": None, "model": None, "choices": [choice], "usage": None, "mine": None}

    assert scripted.completion(given(whole)) == completion("Hello!")
    assert scripted.chunks(given(whole)) == stream({"content": "Hello!"})


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (
            {"error": {"message": "Too long.", "type": "invalid", "code": 7, "param": None}},
            ("Too long.", "invalid", "7"),
        ),
        ({"error": {"message": "Busy."}, "choices": [{"delta": {"content": ""}}]}, ("Busy.", "server_error", None)),
        ({"error": "Busy."}, ("Busy.", "server_error", None)),
        ({"error": {"code": None}}, ("The model failed.", "server_error", None)),
    ],
    ids=repr,
)
def test_an_error_of_an_upstream_that_is_yielded_or_returned_ends_the_completion(
    scripted: Scripted, item: Json, error: tuple[str, str, str | None]
) -> None:
    *text, last = scripted.chunks(yielding("Hello!", item, "never"))

    assert text == stream({"content": "Hello!"})[:2]
    asks = [scripted.ask(way(item), stream=each) for way in (yielding, returning) for each in (True, False)]
    for found in (last["error"], *map(error_of, asks)):
        assert (found["message"], found["type"], found["code"]) == error


def test_an_answer_that_only_refuses_has_no_content(scripted: Scripted) -> None:
    items = [Delta(refusal="N"), Delta(refusal="o.")]

    assert scripted.completion(yielding(*items)) == completion(None, refusal="No.")
    assert scripted.chunks(yielding(*items)) == stream({"refusal": "N"}, {"refusal": "o."})


@pytest.mark.parametrize(
    "item",
    ["", Delta(), Delta(content=""), {"choices": []}, {"choices": [{"delta": {}}]}, haystack_chunk()],
    ids=repr,
)
def test_an_item_that_says_nothing_is_not_sent(scripted: Scripted, item: object) -> None:
    assert scripted.chunks(yielding("a", item, "b")) == stream({"content": "a"}, {"content": "b"})
    assert scripted.chunks(yielding(item)) == stream()
    assert scripted.completion(yielding(item, item)) == completion("")


def test_a_chunk_mapper_reads_only_items_of_unknown_types(serve: Serve) -> None:
    known = [Word.HELLO, Delta(content="a"), {"choices": []}, haystack_message("b"), haystack_chunk("c"), "d"]
    event = SimpleNamespace(to_event_dict=lambda: {"type": "status"})
    mapper: Callable[[Any], str] = lambda item: f"<{item['token']}>"  # noqa: E731 - which needs a type

    client = serve(yielding(*known, event, {"token": 7}), hooks=Hooks(chunk_mapper=mapper))

    assert streamed_text(ask(client, stream=True)) == message_of(ask(client))["content"] == "Hello!abcd<7>"


@pytest.mark.parametrize(
    "item",
    [
        haystack_chunk(
            "Hello!",
            reasoning="Hm.",
            tool_calls=[SimpleNamespace(index=3, id="call_1", tool_name="weather", arguments={"city": "Paris"})],
            finish_reason="length",
            meta={"usage": USAGE},
        ),
        ChatMessage.from_assistant(
            "Hello!",
            tool_calls=[ToolCall("weather", {"city": "Paris"}, id="call_1")],
            reasoning=ReasoningContent("Hm."),
            meta={"finish_reason": "length", "usage": USAGE, "model": "upstream", "index": 0},
        ),
        {
            "choices": [
                {
                    "message": {"tool_calls": [{"index": 5, **CALL}], "content": "Hello!", "reasoning_content": "Hm."},
                    "finish_reason": "length",
                }
            ],
            "usage": USAGE,
        },
    ],
    ids=["chunk of Haystack", "message of Haystack", "dict of a completion"],
)
def test_one_item_may_carry_several_things_which_go_out_in_this_order(scripted: Scripted, item: object) -> None:
    parts: list[Json] = [
        {"reasoning_content": "Hm."},
        {"content": "Hello!"},
        {"tool_calls": [{"index": 0, **CALL}]},
    ]

    *chunks, last = scripted.chunks(yielding(item), include_usage=True)

    assert chunks == [{**each, "usage": None} for each in stream(*parts, finish_reason="length")]
    assert last == chunk(usage=USAGE)
    whole = completion("Hello!", finish_reason="length", reasoning_content="Hm.", tool_calls=[CALL])
    assert scripted.completion(yielding(item)) == {**whole, "usage": USAGE}


@pytest.mark.parametrize(
    ("setting", "fields"),
    [
        ("reasoning_content", {"reasoning_content": "Hm."}),
        ("reasoning", {"reasoning": "Hm."}),
        ("both", {"reasoning_content": "Hm.", "reasoning": "Hm."}),
    ],
)
def test_reasoning_goes_out_in_the_fields_that_the_setting_names(serve: Serve, setting: str, fields: Json) -> None:
    service = Scripted()
    service.client = serve(service, reasoning_field=setting)
    message = Message(content="Yes.", reasoning_content="Hm.")
    whole = ChatCompletion(choices=[Choice(message=message)])
    delta = Delta(reasoning_content="Hm.")
    full_chunk = ChatCompletionChunk(choices=[ChunkChoice(delta=delta)])

    for result in (
        whole,
        yielding(delta, "Yes."),
        yielding(full_chunk, "Yes."),
        yielding(haystack_chunk(reasoning="Hm."), "Yes."),
        yielding(haystack_chunk(reasoning=ReasoningContent("Hm.")), "Yes."),
        haystack_message("Yes.", reasoning=ReasoningContent("Hm.")),
    ):
        deltas = deltas_of(service.ask(result, stream=True))
        assert [field for delta in deltas for field in delta.items()] == [*fields.items(), ("content", "Yes.")]
        assert service.completion(result) == completion("Yes.", **fields)


def test_a_chunk_with_nothing_but_an_extra_field_goes_out(scripted: Scripted) -> None:
    _, sent, _ = scripted.chunks(yielding({"choices": [], "citations": ["a"]}))

    assert sent == chunk(citations=["a"])


def test_items_of_a_service_are_not_changed_and_may_be_sent_again(scripted: Scripted) -> None:
    items: list[Any] = [
        {"choices": [choice({"tool_calls": [{"index": 4, **CALL}]})]},
        {"choices": [choice({"audio": {"data": "AA"}})]},
    ]
    before = msgspec.json.encode(items)

    first, second = (scripted.completion(yielding(*items, *items))["choices"] for _ in range(2))

    assert msgspec.json.encode(items) == before
    assert first == second


def test_a_chunk_cannot_make_the_server_open_any_number_of_answers(scripted: Scripted) -> None:
    response = scripted.ask(yielding({"choices": [{"index": 1_000_000, "delta": {"content": "a"}}]}), stream=True)

    assert (response.status_code, error_of(response)["message"]) == (500, SERVER_ERROR)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("result", [None, 42, b"Hello!", {"a": 1}, Percentage(7)], ids=repr)
def test_any_other_result_is_an_error_whose_log_names_the_types_that_are_allowed(
    serve: Serve, caplog: pytest.LogCaptureFixture, result: object, streaming: bool
) -> None:
    response = ask(serve(returning(result)), stream=streaming)

    assert response.status_code == 500
    assert error_of(response) == UNEXPECTED
    assert f"returned {type(result).__qualname__}" in caplog.text
    assert all(allowed in caplog.text for allowed in ("str", "ChatCompletion", "dict", "ChatMessage", "iterator"))


def mistakes() -> Iterator[tuple[object, str]]:
    """Yield items that nobody means to send, and what the log says of each."""
    forgotten = asyncio.sleep(0)
    yield forgotten, "coroutine where text is due. `await` it"
    forgotten.close()
    yield (word for word in "ab"), "generator where text is due. Yield its items"
    yield b"by\xff", "bytes where text is due. Decode it"
    yield OSError("secret"), "OSError where text is due. Raise it."


async def unchanged(item: object) -> object:
    return item


@pytest.mark.parametrize("mapper", [None, lambda item: item, unchanged])
def test_an_item_that_is_a_mistake_is_an_error_whose_log_says_what_to_do(
    serve: Serve, caplog: pytest.LogCaptureFixture, mapper: Any
) -> None:
    service = Scripted()
    service.client = serve(service, hooks=Hooks(chunk_mapper=mapper))

    for mistake, advice in mistakes():
        known: list[object] = [] if mapper else [SimpleNamespace(content=mistake), haystack_chunk(mistake)]
        for item in (mistake, *known):
            for fields in ({}, {"n": 2}, {"stream": True}):
                caplog.clear()
                response = service.ask(lambda *_, item=item: iter([item]), **fields)
                assert (response.status_code, error_of(response)) == (500, UNEXPECTED)
                assert advice in caplog.text
