import json
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

from tests.template.e2e.answering import AWKWARD
from tests.template.e2e.clients import says

KINDS = ["function", "async-function", "generator", "async-generator"]


class Weather(BaseModel):
    place: str
    degrees: int


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize("model", KINDS)
def test_whatever_a_service_is_a_client_may_have_its_answer_whole(client: OpenAI, model: str) -> None:
    completion = client.chat.completions.create(model=model, messages=says("Hello!"))

    assert completion.model == model
    assert [choice.message.content for choice in completion.choices] == ["Hello, world"]
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is None


@pytest.mark.parametrize("model", KINDS)
def test_whatever_a_service_is_a_client_may_have_its_answer_in_chunks(client: OpenAI, model: str) -> None:
    chunks = list(client.chat.completions.create(model=model, messages=says("Hello!"), stream=True))

    assert text_of(chunks) == "Hello, world"
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant"] + [None] * (len(chunks) - 1)
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1


def test_the_stream_helper_tells_of_each_event_and_ends_with_the_completion(client: OpenAI) -> None:
    with client.chat.completions.stream(model="generator", messages=says("Hello!")) as stream:
        events = list(stream)
        completion = stream.get_final_completion()

    assert [event.delta for event in events if event.type == "content.delta"] == ["", "Hello", ", world"]
    assert [event.content for event in events if event.type == "content.done"] == ["Hello, world"]
    assert completion.choices[0].message.content == "Hello, world"
    assert completion.choices[0].finish_reason == "stop"


def test_an_answer_is_parsed_into_the_schema_that_was_asked_for(client: OpenAI) -> None:
    completion = client.chat.completions.parse(model="weather", messages=says("Paris?"), response_format=Weather)

    assert completion.choices[0].message.parsed == Weather(place="Paris", degrees=21)


def test_a_streamed_answer_is_parsed_too(client: OpenAI) -> None:
    with client.chat.completions.stream(model="weather", messages=says("Paris?"), response_format=Weather) as stream:
        completion = stream.get_final_completion()

    assert completion.choices[0].message.parsed == Weather(place="Paris", degrees=21)


def test_usage_that_the_service_reports_reaches_the_client(client: OpenAI) -> None:
    completion = client.chat.completions.create(model="usage", messages=says("Hello!"))

    assert completion.usage is not None
    assert completion.usage.model_dump(exclude_unset=True) == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
    }


def test_usage_is_the_last_chunk_of_a_stream_if_asked_for(client: OpenAI) -> None:
    *chunks, last = client.chat.completions.create(
        model="usage", messages=says("Hello!"), stream=True, stream_options={"include_usage": True}
    )

    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 5
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_usage_that_the_service_does_not_report_is_not_made_up(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="generator", messages=says("Hello!"), stream=True, stream_options={"include_usage": True}
        )
    )

    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert all(chunk.choices for chunk in chunks)


def test_reasoning_comes_beside_the_answer(shipped_client: OpenAI) -> None:
    completion = shipped_client.chat.completions.create(model="reasoning", messages=says("Hello!"))

    message = completion.choices[0].message
    assert message.content == "You wrote 6 characters."
    assert message.model_extra == {"reasoning_content": "The user wrote 6 characters. I shall tell them so."}


def test_an_iterator_of_nothing_is_an_empty_answer(client: OpenAI) -> None:
    completion = client.chat.completions.create(model="nothing", messages=says("Hello!"))
    chunks = list(client.chat.completions.create(model="nothing", messages=says("Hello!"), stream=True))

    assert completion.choices[0].message.content == ""
    assert text_of(chunks) == ""
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_any_text_survives_the_wire(client: OpenAI, stream: bool) -> None:
    expected = AWKWARD.replace("\udfff", "\ufffd")  # which UTF-8 cannot hold

    if stream:
        assert (
            text_of(list(client.chat.completions.create(model="awkward", messages=says("?"), stream=True))) == expected
        )
    else:
        completion = client.chat.completions.create(model="awkward", messages=says("?"))
        assert completion.choices[0].message.content == expected


def test_what_a_client_sends_beyond_openai_s_parameters_reaches_the_service(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model="request",
        messages=says("Hello!"),
        temperature=0.5,
        extra_body={"top_k": 3, "provider": {"order": ["a"]}},
        extra_headers={"X-Tenant": "acme", "Cookie": "session=1"},
    )

    seen: dict[str, Any] = json.loads(completion.choices[0].message.content or "")
    messages = [{"role": "user", "content": "Hello!"}]
    assert seen["body"] == {
        "model": "request",
        "messages": messages,
        "temperature": 0.5,
        "top_k": 3,
        "provider": {"order": ["a"]},
    }
    assert seen["messages"] == messages
    assert seen["headers"]["x-tenant"] == "acme"
    assert not {"authorization", "cookie"} & seen["headers"].keys()


def test_fields_of_a_completion_s_own_reach_the_client(client: OpenAI) -> None:
    completion = client.chat.completions.create(model="extras", messages=says("Hello!"))

    assert completion.model_extra == {"sources": ["a", "b"]}
    assert completion.choices[0].model_extra == {"score": 0.5}
    assert completion.choices[0].message.model_extra == {"citations": [{"title": "A book"}]}
    assert completion.choices[0].finish_reason == "length"


def test_the_raw_response_is_what_went_over_the_wire(client: OpenAI) -> None:
    response = client.chat.completions.with_raw_response.create(model="function", messages=says("Hello!"))

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.parse().choices[0].message.content == "Hello, world"


def test_a_streaming_response_gives_the_lines(client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(
        model="generator", messages=says("Hello!"), stream=True
    ) as response:
        lines = [line for line in response.iter_lines() if line]

    assert len(lines) == 5
    assert lines[-1] == "data: [DONE]"


@pytest.mark.parametrize("content", [None, "", [{"type": "text", "text": "Hello!"}], [{"type": "newer", "data": 1}]])
def test_content_may_be_anything_that_openai_allows(http: httpx.Client, content: object) -> None:
    body = {"model": "request", "messages": [{"role": "user", "content": content, "own": 1}]}

    answer = http.post("/v1/chat/completions", json=body).raise_for_status().json()

    assert json.loads(answer["choices"][0]["message"]["content"])["body"] == body


@pytest.mark.anyio
async def test_the_async_client_gets_the_same_whole_and_in_chunks(async_client: AsyncOpenAI) -> None:
    completion = await async_client.chat.completions.create(model="generator", messages=says("Hello!"))
    stream = await async_client.chat.completions.create(model="generator", messages=says("Hello!"), stream=True)

    assert completion.choices[0].message.content == "Hello, world"
    assert text_of([chunk async for chunk in stream]) == "Hello, world"


@pytest.mark.anyio
async def test_the_async_client_s_helpers_work_too(async_client: AsyncOpenAI) -> None:
    parsed = await async_client.chat.completions.parse(
        model="weather", messages=says("Paris?"), response_format=Weather
    )
    async with async_client.chat.completions.stream(model="generator", messages=says("Hello!")) as stream:
        events = [event async for event in stream]
        completion = await stream.get_final_completion()

    assert parsed.choices[0].message.parsed == Weather(place="Paris", degrees=21)
    assert [event.delta for event in events if event.type == "content.delta"] == ["", "Hello", ", world"]
    assert completion.choices[0].message.content == "Hello, world"
