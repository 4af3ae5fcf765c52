"""Chat completions: the same answer whole and as a stream, whatever a model returns or yields."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import to_builtins
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from schemas.chat import Delta, Json
from tests.conftest import ASKS, Client, Serve, ask, chunks_of, message_of, openai_of, returning, yielding
from tests.factories import ChatCompletionFactory, ChatCompletionRequestFactory, UsageFactory

Model = Callable[..., object]
WORLD = {"choices": [{"delta": {"role": "assistant", "content": "world"}}]}
HELLO = "Hello, world"
AWKWARD = 'snow ☃, \u2028, a "quote", a \\, a\nline, and 🎉'


def both_of(client: Client) -> tuple[Json, Json]:
    """Return an answer twice: whole, and as OpenAI's client adds its stream up."""
    openai = openai_of(client)
    whole = openai.chat.completions.create(**ASKS)
    with openai.chat.completions.stream(**ASKS) as stream:
        streamed = stream.get_final_completion()
    return whole.choices[0].to_dict(), streamed.choices[0].to_dict()


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (HELLO, returning(HELLO)),
        (HELLO, returning({"choices": [{"message": {"content": HELLO}}]})),
        (HELLO, yielding("Hello", "", ", world")),
        (HELLO, yielding(Delta(role="assistant", content="Hello"), SimpleNamespace(content=", "), WORLD)),
        (AWKWARD, yielding(*AWKWARD)),
    ],
    ids=["text", "completion", "texts", "chunks", "awkward"],
)
def test_whatever_a_model_gives_the_client_gets_it_whole_and_as_a_stream(serve: Serve, text: str, model: Model) -> None:
    for choice in both_of(client := serve(model)):
        assert choice["message"]["content"] == text
        assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "stop")
    assert {line[:6] for line in ask(client, stream=True).text.splitlines()} == {"data: ", ""}


def test_fields_that_openai_does_not_know_reach_the_client(serve: Serve) -> None:
    completion = to_builtins(ChatCompletionFactory.build()) | {"sources": ["a"]}
    delta = {"content": "Hello!", "citations": [{"title": "A book"}]}

    whole = ask(serve(returning(completion))).json()
    (_, chunk, _) = chunks_of(ask(serve(yielding({"choices": [{"delta": delta}], "sources": ["a"]})), stream=True))

    ChatCompletion.model_validate(whole, strict=True)
    assert [whole[name] for name in ("id", "sources")] == [completion[name] for name in ("id", "sources")]
    assert (chunk["sources"], chunk["choices"][0]["delta"]) == (["a"], delta)


def test_usage_is_in_the_whole_answer_and_in_a_last_chunk_if_asked_for(serve: Serve) -> None:
    usage = UsageFactory.build()
    client = serve(yielding("Hello!", usage))

    whole = ask(client).json()["usage"]
    *chunks, last = chunks_of(ask(client, stream=True, stream_options={"include_usage": True}))

    assert (whole["prompt_tokens"], whole["completion_tokens"]) == (usage.prompt_tokens, usage.completion_tokens)
    assert whole["total_tokens"] == usage.prompt_tokens + usage.completion_tokens
    assert (last["usage"], last["choices"]) == (whole, [])
    assert {chunk["usage"] for chunk in chunks} == {None}
    assert not [chunk for chunk in chunks_of(ask(client, stream=True)) if "usage" in chunk]


def test_parallel_tool_calls_whose_arguments_interleave_are_told_apart(serve: Serve) -> None:
    def call(index: int, arguments: str, **fields: Any) -> Json:
        function = {"arguments": arguments} | fields.pop("function", {})
        return {"choices": [{"delta": {"tool_calls": [{"index": index, "function": function} | fields]}}]}

    begins = [call(index, "", id=f"call_{name}", function={"name": name}) for index, name in enumerate("ab")]
    client = serve(yielding(*begins, call(0, '{"x":'), call(1, "{}"), call(0, "1}")))

    for choice in both_of(client):
        calls = choice["message"]["tool_calls"]
        assert [(call["id"], call["function"]["name"]) for call in calls] == [("call_a", "a"), ("call_b", "b")]
        assert [call["function"]["arguments"] for call in calls] == ['{"x":1}', "{}"]
        assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_comes_beside_the_text_in_the_field_of_the_setting(serve: Serve, field: str) -> None:
    model = yielding(Delta(reasoning_content="Hm. "), Delta(reasoning_content="Yes."), "Yes")
    client = serve(model, reasoning_field=field)
    assert message_of(ask(client))[field] == "Hm. Yes."
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(ask(client, stream=True))]
    assert deltas[1:-1] == [{field: "Hm. "}, {field: "Yes."}, {"content": "Yes"}]


def test_events_go_out_in_their_place_and_only_in_streams(serve: Serve) -> None:
    event = {"type": "status", "data": {"done": True}}
    client = serve(yielding("a", SimpleNamespace(to_event_dict=lambda: event), "b"))
    chunks = chunks_of(ask(client, stream=True))
    assert [chunk.get("event") for chunk in chunks] == [None, None, event, None, None]
    assert all(ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in chunks)
    assert message_of(ask(client))["content"] == "ab"


def test_a_request_reaches_the_model_as_it_was_sent_with_unknown_fields(serve: Serve) -> None:
    known: Any = ChatCompletionRequestFactory.build(model="test", stream=False, n=1).to_body()
    request = known | ASKS | {"top_k": 3, "provider": {"order": ["a"]}}
    client = serve(lambda model, messages, body: json.dumps([model, messages, body]))
    answer = client.post("/chat/completions", json=request)
    assert json.loads(message_of(answer)["content"]) == ["test", ASKS["messages"], request]
