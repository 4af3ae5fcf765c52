"""Objects of the `openai` package, as an upstream's client returns them, as results and as items."""

from typing import Any

import pytest
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from schemas.chat import Json
from tests.conftest import Serve, ask, chunks_of, returning, yielding
from tests.template.conftest import completion, stream

CALL: Json = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
MESSAGE: Json = {"role": "assistant", "content": "Hello!", "refusal": None}
WHOLE: Json = {
    "id": "chatcmpl-upstream",
    "object": "chat.completion",
    "created": 7,
    "model": "upstream",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}
HEAD: Json = {"id": "chatcmpl-upstream", "object": "chat.completion.chunk", "created": 7, "model": "upstream"}


def openai_chunk(*choices: Json, **fields: Any) -> ChatCompletionChunk:
    return ChatCompletionChunk.model_validate({**HEAD, "choices": list(choices), **fields})


def delta(finish_reason: str | None = None, **delta: Any) -> Json:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


UPSTREAM = [
    openai_chunk(delta(role="assistant", content="")),
    openai_chunk(delta(content="Hel")),
    openai_chunk(delta(content="lo!")),
    openai_chunk(delta(finish_reason="length")),
    openai_chunk(usage=WHOLE["usage"]),
]


@pytest.mark.parametrize("service", [returning, yielding])
def test_a_completion_of_openai_goes_out_as_it_is(serve: Serve, service: Any) -> None:
    client = serve(service(ChatCompletion.model_validate(WHOLE)))

    assert ask(client).json() == WHOLE


@pytest.mark.parametrize("service", [returning, yielding])
def test_a_completion_of_openai_is_split_for_a_client_that_streams(serve: Serve, service: Any) -> None:
    client = serve(service(ChatCompletion.model_validate(WHOLE)))

    chunks = chunks_of(ask(client, stream=True))

    assert [{"choices": chunk["choices"]} for chunk in chunks] == [
        {"choices": chunk["choices"]} for chunk in stream({"content": "Hello!"})
    ]
    assert all(HEAD.items() <= chunk.items() and "usage" not in chunk for chunk in chunks[1:])


def test_a_completion_of_openai_keeps_fields_that_its_package_does_not_know(serve: Serve) -> None:
    whole = {**WHOLE, "citations": ["a"], "choices": [{**WHOLE["choices"][0], "message": {**MESSAGE, "mood": "gay"}}]}

    assert ask(serve(returning(ChatCompletion.model_validate(whole)))).json() == whole


def test_tool_calls_of_a_completion_of_openai_go_out_in_both_ways(serve: Serve) -> None:
    answer = {"index": 0, "message": {**MESSAGE, "content": None, "tool_calls": [CALL]}, "finish_reason": "tool_calls"}
    client = serve(returning(ChatCompletion.model_validate({**WHOLE, "choices": [answer]})))

    assert ask(client).json()["choices"] == [{**answer, "logprobs": None}]
    streamed = [choice for chunk in chunks_of(ask(client, stream=True)) for choice in chunk["choices"]]
    assert streamed[1]["delta"] == {"tool_calls": [{"index": 0, **CALL}]}
    assert streamed[2]["finish_reason"] == "tool_calls"


def test_chunks_of_openai_pass_through_with_one_role_and_one_finish(serve: Serve) -> None:
    chunks = chunks_of(ask(serve(yielding(*UPSTREAM)), stream=True))

    expected = stream({"content": "Hel"}, {"content": "lo!"}, finish_reason="length")
    assert chunks == [{**chunk, **HEAD} for chunk in expected]


def test_usage_of_chunks_of_openai_ends_the_stream_if_asked_for(serve: Serve) -> None:
    chunks = chunks_of(ask(serve(yielding(*UPSTREAM)), stream=True, stream_options={"include_usage": True}))

    assert [chunk["usage"] for chunk in chunks] == [None, None, None, None, WHOLE["usage"]]
    assert chunks[-1] == {**HEAD, "choices": [], "usage": WHOLE["usage"]}


def test_chunks_of_openai_are_collected_into_one_completion(serve: Serve) -> None:
    response = ask(serve(yielding(*UPSTREAM)))

    expected = completion("Hello!", finish_reason="length")
    assert response.json() == {**expected, **HEAD, "object": "chat.completion", "usage": WHOLE["usage"]}


def test_a_chunk_of_openai_keeps_fields_that_its_package_does_not_know(serve: Serve) -> None:
    item = openai_chunk(delta(content="Hello!", mood="gay"), citations=["a"])

    chunk = chunks_of(ask(serve(yielding(item)), stream=True))[1]

    assert chunk["citations"] == ["a"]
    assert chunk["choices"][0]["delta"] == {"content": "Hello!", "mood": "gay"}


def test_an_object_of_openai_that_is_no_completion_is_its_text(serve: Serve) -> None:
    usage = CompletionUsage(prompt_tokens=1, completion_tokens=2, total_tokens=3)

    assert ask(serve(yielding(usage))).json() == completion(str(usage))
