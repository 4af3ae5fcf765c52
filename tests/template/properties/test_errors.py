"""Wherever a service fails, what it said before arrives, then the error, and then the end."""

import json
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from app.errors import CompletionError
from tests.template.properties import forms
from tests.template.properties.forms import Json, Part, Said, bare
from tests.template.properties.samples import Sample, samples, texts
from tests.template.properties.scripted import DONE, Manner, Script, Scripted, data_of, script

PRIVATE = "the database is at 10.0.0.7"
SERVER_ERROR = {
    "message": "The server had an error while processing the request.",
    "type": "server_error",
    "param": None,
    "code": None,
}


class Unreadable:
    """An item that fails when its text is taken."""

    def __str__(self) -> str:
        raise ValueError(PRIVATE)


manners = st.sampled_from(get_args(Manner))
openings = samples().map(lambda said: [Sample(Said({0: Part(content="Well, ")}), forms.text), *said])
mistakes = st.sampled_from([ValueError, KeyError, RuntimeError, StopIteration, StopAsyncIteration, TimeoutError])
broken_items = st.sampled_from(
    [
        Unreadable(),
        {"choices": [None]},
        {"choices": [{"delta": {"content": object()}}]},
        {"choices": [], "x_field": object()},
    ]
)
meant_errors = st.builds(
    CompletionError,
    texts,
    status=st.integers(400, 599),
    type=st.none() | texts,
    code=st.none() | texts,
    param=st.none() | texts,
)


@given(said=openings, manner=manners, mistake=mistakes)
def test_a_mistake_in_a_stream_comes_after_all_that_was_said(
    scripted: Scripted, said: list[Sample], manner: Manner, mistake: type[Exception]
) -> None:
    failing = Script([sample.item for sample in said], manner, mistake(PRIVATE))
    chunks, error = failed_stream(scripted, failing)
    assert error == SERVER_ERROR
    assert list(map(bare_choices, chunks)) == list(map(bare_choices, unfinished(scripted.chunks(script(said, manner)))))


@given(said=openings, manner=manners, broken=broken_items)
def test_an_item_that_cannot_be_sent_comes_after_all_that_was_said(
    scripted: Scripted, said: list[Sample], manner: Manner, broken: object
) -> None:
    failing = Script([*(sample.item for sample in said), broken, "never sent"], manner)
    chunks, error = failed_stream(scripted, failing)
    assert error == SERVER_ERROR
    assert list(map(bare_choices, chunks)) == list(map(bare_choices, unfinished(scripted.chunks(script(said, manner)))))


@given(said=openings, manner=manners, error=meant_errors)
def test_an_error_that_is_meant_for_the_client_reaches_it_in_a_stream(
    scripted: Scripted, said: list[Sample], manner: Manner, error: CompletionError
) -> None:
    _, sent = failed_stream(scripted, Script([sample.item for sample in said], manner, error))
    assert sent == fields_of(error)


@given(manner=manners, error=meant_errors, stream=st.booleans())
def test_an_error_before_the_first_item_is_an_error_of_http(
    scripted: Scripted, manner: Manner, error: CompletionError, stream: bool
) -> None:
    response = scripted.ask(Script([], manner, error), stream=stream)
    assert response.status_code == error.status
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"error": fields_of(error)}


@given(said=samples(), manner=manners, mistake=mistakes)
def test_a_mistake_anywhere_leaves_nothing_of_a_whole_completion(
    scripted: Scripted, said: list[Sample], manner: Manner, mistake: type[Exception]
) -> None:
    response = scripted.ask(Script([sample.item for sample in said], manner, mistake(PRIVATE)))
    assert response.status_code == 500
    assert response.json() == {"error": SERVER_ERROR}


def failed_stream(scripted: Scripted, script: Script) -> tuple[list[Json], Json]:
    """The chunks of a stream before its error, and the error."""
    response = scripted.ask(script, stream=True)
    assert response.status_code == 200, response.text
    *chunks, error, done = data_of(response)
    assert done == DONE
    assert json.loads(error).keys() == {"error"}
    return [json.loads(chunk) for chunk in chunks], json.loads(error)["error"]


def unfinished(chunks: list[Json]) -> list[Json]:
    """The chunks without those that finish the answers."""
    return [chunk for chunk in chunks if not any(choice["finish_reason"] for choice in chunk["choices"])]


def bare_choices(chunk: Json) -> Json:
    """What a chunk says, whichever response it is of."""
    said: Json = bare({"choices": chunk["choices"], "event": chunk.get("event")})
    return said


def fields_of(error: CompletionError) -> Json:
    return {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
