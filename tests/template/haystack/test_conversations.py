"""Any conversation reaches a generator as the client sent it, or is refused with a 400."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from haystack.dataclasses import ToolCall
from hypothesis import given, settings
from hypothesis import strategies as st

from app.haystack.model import haystack_component
from schemas.chat import Json
from tests.conftest import Client, Serve, ask, error_of
from tests.template.haystack.generators import AsyncGenerator, says
from tests.template.mutations import json_values, mutations_of

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": ["integer", "null"], "pattern": "^a", "enum": [1], "minimum": 0}},
    "required": ["a"],
    "$defs": {"b": {"$ref": "#/$defs/b"}},
}

texts = st.text(st.sampled_from('ab \n"\\é€😀\u2028\u0085\x00'), max_size=4)
some = st.text(st.sampled_from('ab \n"\\é€😀'), min_size=1, max_size=4)
ids = st.sampled_from(["call_1", "call_2"])  # few, so that results find their calls
names = st.none() | some
data = st.binary(max_size=4).map(lambda raw: base64.b64encode(raw).decode())


def text(value: str) -> Json:
    return {"type": "text", "text": value}


def image(raw: str, mime_type: str, detail: str | None) -> Json:
    url = f"data:image/{mime_type};base64,{raw}"
    return {"type": "image_url", "image_url": {"url": url} | ({"detail": detail} if detail else {})}


def file(raw: str, filename: str) -> Json:
    return {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{raw}", "filename": filename}}


def call(call_id: str, name: str, arguments: Json) -> Json:
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": call_id, "type": "function", "function": function}


def message(role: str, **fields: object) -> Json:
    return {"role": role} | {name: value for name, value in fields.items() if value is not None}


def messages_of(*roles: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.builds(message, st.sampled_from(roles), **fields)


media = st.builds(image, data, st.sampled_from(["png", "jpeg"]), st.none() | st.sampled_from(["auto", "high"]))
media |= st.builds(file, data, some)
parts = media.map(lambda part: [part]) | st.lists(media | texts.map(text), min_size=2, max_size=4)
arguments = st.dictionaries(some, json_values, max_size=3)
calls = st.lists(st.builds(call, ids, some, arguments), min_size=1, max_size=3)
messages = st.one_of(
    messages_of("system", "user", "assistant", content=texts, name=names),
    messages_of("user", content=parts, name=names),
    messages_of("assistant", tool_calls=calls, content=names, name=names),
    messages_of("tool", content=texts, tool_call_id=ids),
)


CONVERSATION: Json = {
    "messages": [
        message("developer", content=[text("Be brief.")], name="a"),
        message("user", content=[text("Compare."), image("AAAA", "png", "low"), file("AAAA", "a.pdf")], name="Ann"),
        message("assistant", content="", refusal="", reasoning_content="Hm.", tool_calls=[call("1", "f", {"a": 1})]),
        message("tool", content=[text("result")], tool_call_id="1"),
        message("assistant", content=[{"type": "refusal", "refusal": "No."}], reasoning="Hm."),
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "description": "Does it.", "parameters": SCHEMA}},
        {"type": "function", "function": {"name": "g"}},
    ],
}


def leaves_of(value: object) -> Iterator[object]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    for part in () if inner is None else inner:
        yield from leaves_of(part)
    if inner is None:
        yield value


@pytest.fixture(scope="module")
def generator() -> AsyncGenerator:
    return AsyncGenerator(says("Hello"))


@pytest.fixture(scope="module")
def client(serve_all: Serve, generator: AsyncGenerator) -> Client:
    return serve_all(haystack_component(generator))


@given(conversation=st.lists(messages, min_size=1, max_size=6))
def test_a_conversation_goes_to_haystack_and_back_as_it_was(
    client: Client, generator: AsyncGenerator, conversation: list[Json]
) -> None:
    assert ask(client, messages=conversation).status_code == 200
    converted = generator.asked.pop().messages

    assert [message.to_openai_dict_format() for message in converted] == conversation
    known: dict[str, Json] = {}
    for sent, message in zip(conversation, converted, strict=True):
        known |= {call["id"]: call["function"] for call in sent.get("tool_calls", ())}
        if message.tool_call_result:  # its origin is the latest call of its id
            function = known.pop(sent["tool_call_id"], {"name": "", "arguments": "{}"})
            call_id = sent["tool_call_id"]
            origin = ToolCall(function["name"], json.loads(function["arguments"]), call_id, {"call_id": call_id})
            assert message.tool_call_result.origin == origin


@settings(max_examples=300)  # of the many places that a request has
@given(request=mutations_of(CONVERSATION))
def test_any_conversation_and_any_tools_are_converted_or_refused(
    client: Client, generator: AsyncGenerator, request: Json
) -> None:
    response = ask(client, **request)

    if response.status_code == 200:
        asked = generator.asked.pop()
        assert all(isinstance(leaf, str) for each in asked.messages for leaf in leaves_of(each.to_openai_dict_format()))
        functions = [tool for tool in request.get("tools") or () if tool["type"] == "function"]
        assert len({tool.name for tool in asked.tools or ()}) == len(functions)
        assert all(isinstance(tool.description, str) for tool in asked.tools or ())
    else:
        error = error_of(response)
        assert (response.status_code, error["type"]) == (400, "invalid_request_error")
        assert (error["param"] or "").startswith(("messages", "tools"))
    assert not generator.asked
