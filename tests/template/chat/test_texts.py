"""Any text reaches the client as valid UTF-8 JSON on one line, whole and streamed."""

import json
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.registry import Pipelines
from tests.conftest import Serve, ask, returning
from tests.template.chat import forms
from tests.template.chat.forms import Event, Form, Json, Part, Said
from tests.template.chat.samples import Sample, completion_of
from tests.template.chat.scripted import Script, Scripted, accumulated, data_of, summary
from tests.template.conftest import chunk, deltas_of

AWKWARD = 'a "quote", a \\, a\nline,\r\n\x00 \x85 \u2028 \u2029 é 日本 🎉 and halves: \ud800 \udfff'
any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates too
any_value: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(any_text, values, max_size=3),
    max_leaves=6,
)


def call(arguments: str) -> Part:
    return Part(calls=(forms.Call(0, "tool", arguments, "call_1"),))


PLACES: dict[str, tuple[Form, Callable[[str], Part]]] = {
    "content of a text": (forms.text, lambda text: Part(content=text)),
    "content of an object": (forms.mapped_object, lambda text: Part(content=text)),
    "content of a chunk": (forms.chunk, lambda text: Part(content=text)),
    "reasoning": (forms.delta, lambda text: Part(reasoning=text)),
    "refusal": (forms.delta, lambda text: Part(refusal=text)),
    "extra field": (forms.chunk_dict, lambda text: Part(note=text)),
    "tool arguments": (forms.delta, call),
    "content of a completion": (forms.completion_dict, lambda text: Part(content=text)),
    "tool arguments of a completion": (forms.completion_dict, call),
}


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=20)  # of each place
@example(text=AWKWARD)
@given(text=any_text)
def test_any_text_of_a_service_reaches_the_client(scripted: Scripted, place: str, text: str) -> None:
    form, part_of = PLACES[place]
    item = form(Said({0: part_of(text)}))
    expected = completion_of([Sample(Said({0: part_of(clean(text))}), form)])

    assert summary(scripted.completion(Script([item]))) == expected
    assert summary(accumulated(scripted.chunks(Script([item])))) == expected


@example(value={"text": "\ud800", "number": math.nan})
@given(value=st.dictionaries(any_text, any_value, max_size=3))
def test_any_event_of_a_service_reaches_the_client(scripted: Scripted, value: Json) -> None:
    _, sent, _ = scripted.chunks(Script([Event(value)]))

    assert sent == chunk(event=clean(value))


@pytest.mark.parametrize("model", ['a "b"', "é\u2028"])
def test_any_name_of_a_model_stands_in_the_frames_of_texts(serve: Serve, model: str) -> None:
    registry = Pipelines()
    registry.add(model, returning("Hello!"))

    response = ask(serve(registry), model=model, stream=True)

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
