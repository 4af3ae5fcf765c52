"""A conversation is the same in Haystack as it is for OpenAI, or is refused; and so is an answer on its way back."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from haystack.dataclasses import ChatMessage, ToolCall
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.request import validate
from app.errors import InvalidRequestError
from app.haystack.messages import to_chat_messages, to_tools
from schemas.chat import ChatCompletionRequest
from tests.template.properties.forms import Json
from tests.template.properties.samples import texts
from tests.template.properties.scripted import Scripted, accumulated
from tests.template.properties.test_requests import json_values, mutated_requests

DATA = "data:image/png;base64,AAAA"
CONVERSATION: Json = {
    "model": "test",
    "messages": [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}], "name": "a"},
        {
            "role": "user",
            "name": "Ann",
            "content": [
                {"type": "text", "text": "Compare."},
                {"type": "image_url", "image_url": {"url": DATA, "detail": "low"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "reasoning_content": "Hm.",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "content": [{"type": "text", "text": "result"}], "tool_call_id": "1"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "reasoning": "Hm."},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "Does it.",
                "parameters": {
                    "type": "object",
                    "properties": {"a": {"type": ["integer", "null"], "pattern": "^a", "enum": [1], "minimum": 0}},
                    "required": ["a"],
                    "$defs": {"b": {"$ref": "#/$defs/b"}},
                },
            },
        },
        {"type": "function", "function": {"name": "g"}},
    ],
}

some = st.text(st.sampled_from('ab \n"\\é€😀'), min_size=1, max_size=4)
names = st.none() | some
data = st.binary(max_size=4).map(lambda raw: base64.b64encode(raw).decode())
objects = st.dictionaries(some, json_values, max_size=3)


def text(value: str) -> Json:
    return {"type": "text", "text": value}


def image(raw: str, mime_type: str, detail: str | None) -> Json:
    return {
        "type": "image_url",
        "image_url": {"url": f"data:image/{mime_type};base64,{raw}", **given_only(detail=detail)},
    }


def file(raw: str, filename: str) -> Json:
    return {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{raw}", "filename": filename}}


def call(call_id: str, name: str, arguments: Json) -> Json:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
    }


def message(role: str, content: object, **fields: object) -> Json:
    return {"role": role, "content": content, **given_only(**fields)}


def calling(calls: list[Json], content: str | None, name: str | None) -> Json:
    return {"role": "assistant", "tool_calls": calls, **given_only(content=content, name=name)}


def given_only(**values: object) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def role(name: str) -> st.SearchStrategy[str]:
    return st.just(name)


images = st.builds(image, data, st.sampled_from(["png", "jpeg"]), st.none() | st.sampled_from(["auto", "high"]))
media = images | st.builds(file, data, some)
parts = media.map(lambda part: [part]) | st.lists(media | texts.map(text), min_size=2, max_size=4)
calls = st.lists(st.builds(call, some, some, objects), min_size=1, max_size=3)
spoken = st.one_of(
    st.builds(message, role("system"), texts, name=names),
    st.builds(message, role("user"), texts | parts, name=names),
    st.builds(message, role("assistant"), texts, name=names),
    st.builds(calling, calls, names, names),
    st.builds(message, role("tool"), texts, tool_call_id=some),
)
text_parts = st.lists(texts.map(text), min_size=1, max_size=3)
readable = st.one_of(  # by Haystack's own reader too, which knows no empty text
    spoken.filter(lambda message: message["role"] == "assistant" or bool(message["content"])),
    st.builds(message, st.sampled_from(["system", "developer", "assistant"]), text_parts, name=names),
    st.builds(message, role("user"), text_parts, name=names),
)
answers = st.builds(
    ChatMessage.from_assistant,
    some,
    tool_calls=st.lists(st.builds(ToolCall, some, objects, id=some), max_size=3, unique_by=lambda call: call.id),
    reasoning=names,
)


def converted(messages: list[Json]) -> list[ChatMessage]:
    return to_chat_messages(messages)  # type: ignore[arg-type]  # dicts as JSON has them


@given(messages=st.lists(spoken, max_size=4))
def test_a_conversation_goes_to_haystack_and_back_as_it_was(messages: list[Json]) -> None:
    assert [message.to_openai_dict_format() for message in converted(messages)] == messages


@given(messages=st.lists(spoken, max_size=6))
def test_a_result_has_the_latest_call_of_its_id_for_its_origin(messages: list[Json]) -> None:
    known: dict[str, Json] = {}
    for said, message in zip(messages, converted(messages), strict=True):
        known |= {call["id"]: call["function"] for call in said.get("tool_calls", ())}
        if message.tool_call_result:
            function = known.get(said["tool_call_id"], {"name": "", "arguments": "{}"})
            arguments = json.loads(function["arguments"])
            origin = ToolCall(function["name"], arguments, id=said["tool_call_id"])
            assert message.tool_call_result.origin == origin


@given(said=readable.filter(lambda message: message["role"] != "tool"))
def test_a_message_that_haystacks_own_reader_knows_is_read_as_that_reads_it(said: Json) -> None:
    assert converted([said]) == [ChatMessage.from_openai_dict_format(said)]


@given(answer=answers)
def test_an_answer_that_a_client_sends_back_is_the_message_that_it_was(scripted: Scripted, answer: ChatMessage) -> None:
    whole = scripted.completion(answer)
    streamed = accumulated(scripted.chunks(answer))

    for completion in (whole, streamed):
        assert converted([completion["choices"][0]["message"]]) == [answer]


@settings(max_examples=300)  # of the many places that a request has
@given(request=mutated_requests(CONVERSATION))
def test_any_conversation_that_the_server_accepts_is_converted_or_refused(request: Json) -> None:
    try:
        messages = validate(request, ChatCompletionRequest).messages
    except InvalidRequestError:
        return
    try:
        chat_messages = to_chat_messages(messages)
    except InvalidRequestError as error:
        assert_names_one_of(messages, "messages", error)
    else:
        assert all(isinstance(leaf, str) for each in chat_messages for leaf in leaves(each.to_openai_dict_format()))


@settings(max_examples=300)  # of the many places that a request has
@given(request=mutated_requests({**CONVERSATION, "messages": [{"role": "user", "content": "Hello!"}]}))
def test_any_tools_that_the_server_accepts_are_converted_or_refused(request: Json) -> None:
    try:
        body = validate(request, ChatCompletionRequest).to_body()
    except InvalidRequestError:
        return
    try:
        tools = to_tools(body)
    except InvalidRequestError as error:
        assert_names_one_of(body["tools"], "tools", error)
    else:
        assert all(isinstance(tool.name, str) and isinstance(tool.description, str) for tool in tools)
        assert len({tool.name for tool in tools}) == len(body.get("tools") or ())


def assert_names_one_of(values: list[Any], name: str, error: InvalidRequestError) -> None:
    assert error.status == 400
    assert error.param in [f"{name}[{position}]" for position in range(len(values))]
    assert error.message.startswith(f"This model cannot {'read' if name == 'messages' else 'use'} {error.param}: ")


def leaves(value: object) -> Iterator[object]:
    """All values in a value that hold no other."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value
