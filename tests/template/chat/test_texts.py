"""Any text reaches the client as valid UTF-8 JSON on one line, whole and streamed."""

import json
import math
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.chat import Json
from tests.conftest import Serve, ask, returning, yielding
from tests.template.chat import samples
from tests.template.chat.samples import Form, Said, Sample, completion_of
from tests.template.chat.scripted import Scripted, accumulated, data_of, summary
from tests.template.conftest import chunk, deltas_of

AWKWARD = 'a "quote", a \\, a\nline,\r\n\x00 \x85 \u2028 \u2029 é 日本 🎉 and halves: \ud800 \udfff'
any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates too
any_value: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(any_text, values, max_size=3),
    max_leaves=6,
)


PLACES: dict[str, tuple[Form, str]] = {
    "content of a text": (samples.text, "content"),
    "content of an object": (samples.mapped_object, "content"),
    "content of a chunk": (samples.chunk, "content"),
    "reasoning": (samples.delta, "reasoning_content"),
    "refusal": (samples.delta, "refusal"),
    "extra field": (samples.chunk_dict, "note"),
    "tool arguments": (samples.delta, "tool_calls"),
    "content of a completion": (samples.completion_dict, "content"),
    "tool arguments of a completion": (samples.completion_dict, "tool_calls"),
}


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=20)  # of each place
@example(text=AWKWARD)
@given(text=any_text)
def test_any_text_of_a_service_reaches_the_client(scripted: Scripted, place: str, text: str) -> None:
    form, name = PLACES[place]

    def said(text: str) -> Said:
        return Said({0: {name: [samples.call(0, "tool", text, "call_1")] if name == "tool_calls" else text}})

    result = yielding(form(said(text)))
    expected = completion_of([Sample(said(clean(text)), form)])

    assert summary(scripted.completion(result)) == expected
    assert summary(accumulated(scripted.chunks(result))) == expected


@example(value={"text": "\ud800", "number": math.nan})
@given(value=st.dictionaries(any_text, any_value, max_size=3))
def test_any_event_of_a_service_reaches_the_client(scripted: Scripted, value: Json) -> None:
    _, sent, _ = scripted.chunks(yielding(samples.event(Said(event=value))))

    assert sent == chunk(event=clean(value))


@pytest.mark.parametrize("model", ['a "b"', "é\u2028"])
def test_any_name_of_a_model_stands_in_the_frames_of_texts(serve: Serve, model: str) -> None:
    response = ask(serve({model: returning("Hello!")}), model=model, stream=True)

    assert deltas_of(response) == [{"content": "Hello!"}]
    assert {json.loads(data)["model"] for data in data_of(response)[:-1]} == {model}


def clean(value: Any) -> Any:
    """Return a value as JSON in UTF-8 can hold it."""
    match value:
        case str():
            return re.sub("[\ud800-\udfff]", "\ufffd", value)
        case float() if not math.isfinite(value):
            return None
        case list():
            return [clean(item) for item in value]
        case dict():
            return {clean(name): clean(item) for name, item in value.items()}
        case _:
            return value
