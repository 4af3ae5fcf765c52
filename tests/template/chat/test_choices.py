"""Several choices: a model is asked once for each of the `n` of a request, unless it makes them itself."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import CompletionError
from app.registry import Pipelines
from app.services import Body, Messages
from schemas.chat import Json, Usage
from tests.conftest import PATIENCE, Serve, ask, chunks_of, error_of
from tests.template.chat.samples import Sample, completion_of, samples
from tests.template.chat.scripted import WAYS, Scripted, Way, accumulated, played, summary

each_mode = pytest.mark.parametrize("stream", [False, True])


class Model:
    """Models of which each call says its number; none ends before all have started."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.bodies: list[Body] = []
        self.all_started = asyncio.Event()

    async def function(self, model: str, messages: Messages, body: Body) -> str:
        self.bodies.append(body)
        number = len(self.bodies)
        if number == self.calls:
            self.all_started.set()
        await asyncio.wait_for(self.all_started.wait(), PATIENCE)
        if body.get("fails") == number:
            raise CompletionError("Not this one.", status=402)
        return f"Hello {number}!"

    async def generator(self, model: str, messages: Messages, body: Body) -> AsyncIterator[str | Usage]:
        yield await self.function(model, messages, body)
        yield Usage(prompt_tokens=3, completion_tokens=2, completion_tokens_details={"reasoning_tokens": 1})


def answer_of(serve: Serve, model: Any, *, stream: bool, **fields: object) -> Json:
    """Return the completion that a model answers with, or that its chunks add up to."""
    options: Json = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    response = ask(serve(model), **options, **fields)
    completion: Json = accumulated(chunks_of(response)) if stream else response.json()
    return completion


def texts_of(completion: Json) -> list[str]:
    assert [choice["index"] for choice in completion["choices"]] == list(range(len(completion["choices"])))
    return [choice["message"]["content"] for choice in completion["choices"]]


@each_mode
@pytest.mark.parametrize("kind", ["function", "generator"])
def test_a_model_is_asked_for_all_choices_at_the_same_time(serve: Serve, kind: str, stream: bool) -> None:
    model = Model(calls=3)

    completion = answer_of(serve, getattr(model, kind), n=3, stream=stream)

    assert sorted(texts_of(completion)) == ["Hello 1!", "Hello 2!", "Hello 3!"]
    assert {choice["finish_reason"] for choice in completion["choices"]} == {"stop"}
    assert not any("n" in body for body in model.bodies)
    tokens = (3, 6, 9) if kind == "generator" else (0, 0, 0)
    assert tuple(completion["usage"][f"{name}_tokens"] for name in ("prompt", "completion", "total")) == tokens


@each_mode
def test_a_choice_that_fails_fails_the_completion(serve: Serve, stream: bool) -> None:
    response = ask(serve(Model(calls=3).function), n=3, fails=2, stream=stream)

    if not stream or response.status_code != 200:  # another choice may have been sent first
        assert (response.status_code, error_of(response)["message"]) == (402, "Not this one.")
    else:
        assert chunks_of(response)[-1]["error"]["message"] == "Not this one."


@each_mode
@pytest.mark.parametrize("n", [None, 1, 3])
def test_a_model_that_handles_n_is_asked_once(serve: Serve, n: int | None, stream: bool) -> None:
    bodies: list[Body] = []
    pipelines = Pipelines()

    @pipelines.model("test", handles_n=True)
    def model(model: str, messages: Messages, body: Body) -> Iterator[Json]:
        bodies.append(body)
        for index in range(body.get("n") or 1):
            yield {"choices": [{"index": index, "delta": {"content": f"Hello {index}!"}}]}
        yield {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}

    completion = answer_of(serve, pipelines, n=n, stream=stream)

    assert texts_of(completion) == [f"Hello {index}!" for index in range(n or 1)]
    assert [body["n"] for body in bodies] == [n]
    assert completion["usage"]["total_tokens"] == 5


@given(said=samples(), way=st.sampled_from(WAYS), n=st.integers(1, 3))
def test_each_choice_says_what_the_model_says_in_its_first(
    scripted: Scripted, said: list[Sample], way: Way, n: int
) -> None:
    fields: Json = {"n": n, "stream_options": {"include_usage": True}}
    chunks = chunks_of(scripted.ask(played(said, way), stream=True, **fields))
    completion = scripted.ask(played(said, way), n=n).json()

    assert summary(accumulated(chunks)) == summary(completion)
    first = completion_of(said)["choices"]
    assert summary(completion)["choices"] == (first if n == 1 else first[:1] * n)
