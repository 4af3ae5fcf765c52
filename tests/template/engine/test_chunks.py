"""The rules of a stream: its order, its shared head, its finish and its usage."""

import re
from typing import Any

import pytest

from schemas.chat import ChatCompletion, ChatCompletionChunk, Choice, ChunkChoice, Delta, Json, Message, Usage
from tests.conftest import Serve, ask, chunks_of, returning, yielding
from tests.factories import UsageFactory
from tests.template.conftest import choice, chunk, completion, deltas_of, finish_reason_of, stream
from tests.template.factories import ChatCompletionChunkFactory, ChunkChoiceFactory, DeltaFactory

USAGE: Json = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
WITH_USAGE: Json = {"stream": True, "stream_options": {"include_usage": True}}
REPORTS_OF_USAGE = {
    "Usage": Usage(prompt_tokens=3, completion_tokens=4),
    "chunk": ChatCompletionChunk(choices=[], usage=Usage(prompt_tokens=3, completion_tokens=4)),
    "dict": {"choices": [], "usage": USAGE},
    "last chunk of a choice": {"choices": [choice({}, "stop")], "usage": USAGE},
}


class CitedChunk(ChatCompletionChunk, kw_only=True):
    citations: list[str]


class MoodyDelta(Delta, kw_only=True):
    mood: str


class SafeChoice(ChunkChoice, kw_only=True):
    safety: str


def test_the_first_chunk_names_the_role_and_no_other_does(serve: Serve) -> None:
    items = [choice({"role": "assistant", "content": "a"}), choice({"role": "assistant", "content": "b"})]

    chunks = chunks_of(ask(serve(yielding(*({"choices": [item]} for item in items))), stream=True))

    assert chunks == stream({"content": "a"}, {"content": "b"})


def test_the_headers_of_a_stream_forbid_to_hold_it_back(serve: Serve) -> None:
    headers = ask(serve(yielding("Hello!")), stream=True).headers

    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
    assert "content-length" not in headers


@pytest.mark.parametrize("streaming", [True, False])
def test_each_response_has_an_id_of_its_own_that_its_chunks_share(serve: Serve, streaming: bool) -> None:
    client = serve(yielding("Hel", "lo!"))

    heads = []
    for response in (ask(client, stream=streaming), ask(client, stream=streaming)):
        parts = chunks_of(response) if streaming else [response.json()]
        (head,) = {(part["id"], part["created"], part["model"]) for part in parts}
        heads.append(head)

    assert all(re.fullmatch(r"chatcmpl-[A-Za-z0-9_-]{29,}", name) for name, _, _ in heads)
    assert len({name for name, _, _ in heads}) == 2
    assert all(isinstance(created, int) and created > 1_700_000_000 for _, created, _ in heads)
    assert {model for _, _, model in heads} == {"test"}


def test_full_chunks_keep_the_id_they_carry_and_all_others_share_it(serve: Serve) -> None:
    head: Json = {"id": "chatcmpl-upstream", "created": 7, "model": "upstream"}
    items = [{**head, "choices": [choice({"content": text})]} for text in ("Hel", "lo")]

    chunks = chunks_of(ask(serve(yielding(*items, "!")), stream=True))

    expected = stream({"content": "Hel"}, {"content": "lo"}, {"content": "!"})
    assert chunks == [{**each, **head} for each in expected]


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "function_call"])
def test_the_finish_reason_of_the_service_goes_out_once_and_last(serve: Serve, reason: str) -> None:
    item = {"choices": [choice({"content": "Hello"}, reason)]}
    client = serve(yielding(item, "!"))

    assert chunks_of(ask(client, stream=True)) == stream({"content": "Hello"}, {"content": "!"}, finish_reason=reason)
    assert ask(client).json() == completion("Hello!", finish_reason=reason)


def test_of_several_finish_reasons_one_goes_out(serve: Serve) -> None:
    client = serve(yielding(*({"choices": [choice({}, reason)]} for reason in ("stop", "length"))))

    assert finish_reason_of(ask(client, stream=True)) == finish_reason_of(ask(client)) == "length"


@pytest.mark.parametrize("given", ["eos", "max_tokens", "", None, "tool_call_results"])
def test_a_finish_reason_unknown_to_openai_becomes_stop(serve: Serve, given: str | None) -> None:
    for client in (
        serve(yielding({"choices": [choice({"content": "Hello!"}, given)]})),
        serve(returning({"choices": [{"message": {"content": "Hello!"}, "finish_reason": given}]})),
    ):
        assert finish_reason_of(ask(client, stream=True)) == finish_reason_of(ask(client)) == "stop"


@pytest.mark.parametrize("report", REPORTS_OF_USAGE.values(), ids=REPORTS_OF_USAGE)
def test_usage_ends_the_stream_of_a_client_that_asked_for_it(serve: Serve, report: object) -> None:
    chunks = chunks_of(ask(serve(yielding("Hello!", report)), **WITH_USAGE))

    expected = [{**each, "usage": None} for each in stream({"content": "Hello!"})]
    assert chunks == [*expected, chunk(usage=USAGE)]


@pytest.mark.parametrize("report", REPORTS_OF_USAGE.values(), ids=REPORTS_OF_USAGE)
@pytest.mark.parametrize("options", [{}, {"stream_options": None}, {"stream_options": {"include_usage": False}}])
def test_no_chunk_names_usage_if_the_client_did_not_ask_for_it(serve: Serve, report: object, options: Json) -> None:
    chunks = chunks_of(ask(serve(yielding("Hello!", report)), stream=True, **options))

    assert chunks == stream({"content": "Hello!"})


@pytest.mark.parametrize("report", REPORTS_OF_USAGE.values(), ids=REPORTS_OF_USAGE)
def test_a_whole_completion_carries_the_usage_that_was_reported(serve: Serve, report: object) -> None:
    response = ask(serve(yielding("Hello!", report)))

    assert response.json() == {**completion("Hello!"), "usage": USAGE}


def test_usage_of_a_whole_completion_ends_its_stream_too(serve: Serve) -> None:
    whole = ChatCompletion(
        choices=[Choice(message=Message(content="Hello!"))], usage=UsageFactory.build(prompt_tokens=3)
    )

    chunks = chunks_of(ask(serve(returning(whole)), **WITH_USAGE))

    assert [each["usage"] for each in chunks[:-1]] == [None, None, None]
    assert chunks[-1] == chunk(usage=ask(serve(returning(whole))).json()["usage"])


@pytest.mark.parametrize("fields", [WITH_USAGE, {"stream_options": {"include_usage": True}}])
def test_usage_that_nobody_reported_is_not_made_up(serve: Serve, fields: Json) -> None:
    response = ask(serve(yielding("Hello!")), **fields)

    if fields.get("stream"):
        assert chunks_of(response) == [{**each, "usage": None} for each in stream({"content": "Hello!"})]
    else:
        assert response.json() == completion("Hello!")


def test_an_event_in_a_stream_with_usage_says_that_it_has_none(serve: Serve) -> None:
    class Status:
        def to_event_dict(self) -> Json:
            return {"type": "status"}

    _, event, *_ = chunks_of(ask(serve(yielding(Status())), **WITH_USAGE))

    assert event == chunk(event={"type": "status"}, usage=None)


@pytest.mark.parametrize(
    "item",
    [
        CitedChunk(
            choices=[SafeChoice(delta=MoodyDelta(content="Hello!", mood="gay"), safety="high")], citations=["a"]
        ),
        {"choices": [choice({"content": "Hello!", "mood": "gay"}, safety="high")], "citations": ["a"]},
    ],
    ids=["Struct", "dict"],
)
def test_a_chunk_keeps_extra_fields_at_every_level(serve: Serve, item: object) -> None:
    client = serve(yielding(item))

    _, sent, _ = chunks_of(ask(client, stream=True))
    whole = ask(client).json()

    assert sent == chunk(choice({"content": "Hello!", "mood": "gay"}, safety="high"), citations=["a"])
    assert whole["citations"] == ["a"]
    assert whole["choices"][0]["safety"] == "high"
    assert whole["choices"][0]["message"]["mood"] == "gay"


def test_a_chunk_with_nothing_but_an_extra_field_goes_out(serve: Serve) -> None:
    _, sent, _ = chunks_of(ask(serve(yielding({"choices": [], "citations": ["a"]})), stream=True))

    assert sent == chunk(citations=["a"])


def test_each_of_several_answers_has_its_own_role_and_finish(serve: Serve) -> None:
    items = [choice({"content": f"Hello {index}"}, "length" if index else None) | {"index": index} for index in (0, 1)]
    client = serve(yielding(*({"choices": [item]} for item in items)))

    choices = [each for chunk in chunks_of(ask(client, stream=True)) for each in chunk["choices"]]
    assert [each["index"] for each in choices if each["delta"].get("role")] == [0, 1]
    assert [(each["index"], each["finish_reason"]) for each in choices[-2:]] == [(0, "stop"), (1, "length")]
    assert [each["message"]["content"] for each in ask(client).json()["choices"]] == ["Hello 0", "Hello 1"]


def test_no_key_is_null_that_openai_leaves_out(serve: Serve) -> None:
    delta = DeltaFactory.build(content="Hello!", refusal=None)
    item = ChatCompletionChunkFactory.build(
        choices=[ChunkChoiceFactory.build(delta=delta, logprobs=None)], service_tier="default"
    )

    for sent in chunks_of(ask(serve(yielding(item)), stream=True)):
        assert all(value is not None for value in sent.values())
        assert [name for name, value in sent["choices"][0].items() if value is None] in (["finish_reason"], [])
        assert all(value is not None for value in sent["choices"][0]["delta"].values())


@pytest.mark.parametrize("text", ['"', "\\", "\n\n", "\r\n", "\u2028", "\u2029", "\x85", "\x00", "é", "日本", "🎉"])
@pytest.mark.parametrize("kind", [str, lambda text: {"choices": [choice({"content": text})]}], ids=["text", "chunk"])
def test_any_text_survives_the_wire_on_one_line(serve: Serve, text: str, kind: Any) -> None:
    client = serve(yielding(kind(f"a{text}b")))

    response = ask(client, stream=True)

    assert deltas_of(response) == [{"content": f"a{text}b"}]
    assert len(response.text.splitlines()) == len(response.content.split(b"\n")) - 1
    assert ask(client).json() == completion(f"a{text}b")


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud800 🎉"])
def test_a_lone_surrogate_from_a_service_is_replaced(serve: Serve, text: str) -> None:
    client = serve(yielding(text))
    replaced = re.sub("[\ud800-\udfff]", "\ufffd", text)

    assert deltas_of(ask(client, stream=True)) == [{"content": replaced}]
    assert ask(client).json() == completion(replaced)
