"""Failures of a service that Python or the server could take for something else."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from openai import InternalServerError

from app.services import Body, Messages
from schemas.chat import Json
from tests.conftest import ASKS, SERVER_ERROR, Serve, ask, error_of, live, yielding
from tests.template.conftest import stream

UNEXPECTED: Json = {"message": SERVER_ERROR, "type": "server_error", "param": None, "code": None}
ENDINGS = [asyncio.CancelledError("secret"), SystemExit(1), TimeoutError("secret"), StopAsyncIteration("secret")]
NO_CHUNKS: dict[str, Json] = {
    "a number as a choice": {"choices": [1]},
    "a text as a choice": {"choices": ["a"]},
    "a number as a delta": {"choices": [{"delta": 1}]},
    "a number as a message": {"choices": [{"message": 1}]},
}


def frames_before_done(text: str) -> list[Json]:
    *frames, done, rest = text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


@pytest.mark.parametrize("error", ENDINGS, ids=lambda error: type(error).__name__)
def test_an_exception_that_ends_other_programs_ends_a_stream_with_an_error(serve: Serve, error: BaseException) -> None:
    async def generator(model: str, messages: Messages, body: Body) -> AsyncIterator[str]:
        yield "Hello"
        raise error

    frames = frames_before_done(ask(serve(generator), stream=True).text)
    assert [frame.get("error", "Hello" in str(frame)) for frame in frames] == [False, True, UNEXPECTED]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_an_exception_that_stops_an_event_loop_does_not_stop_the_server_from_a_task(
    error: type[BaseException], stream: bool
) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    async def grouped(model: str, messages: Messages, body: Body) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
        return "never"

    async def spawned(model: str, messages: Messages, body: Body) -> str:
        task = asyncio.create_task(fail())
        asyncio.create_task(fail()).cancel()  # before it has begun
        await task
        return "never"

    for model in (grouped, spawned):
        with live(model) as client:
            for _ in range(2):  # the server still answers
                with pytest.raises(InternalServerError) as caught:
                    client.chat.completions.create(**ASKS, stream=stream)
                assert caught.value.body == UNEXPECTED
                assert caught.value.request_id


@pytest.mark.parametrize("item", NO_CHUNKS.values(), ids=NO_CHUNKS)
def test_a_dict_that_is_no_chunk_is_an_error_of_the_service(serve: Serve, item: Json) -> None:
    client = serve(yielding("Hello", item))

    whole, streamed = ask(client), ask(client, stream=True)

    assert (whole.status_code, error_of(whole)) == (500, UNEXPECTED)
    assert frames_before_done(streamed.text) == [*stream({"content": "Hello"})[:2], {"error": UNEXPECTED}]
