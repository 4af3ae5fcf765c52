"""Generators of other providers: parameters under their names, and the Responses API behind a chat."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from haystack.components.agents import Agent
from haystack.components.generators.chat import FallbackChatGenerator, OpenAIResponsesChatGenerator
from haystack.utils import Secret

from app.haystack.model import haystack_component
from app.haystack.parameters import generator_parameters
from schemas.chat import Json
from tests.conftest import Client, Serve, ask
from tests.template.haystack.answers import Answer, answer_from, usage_of
from tests.template.haystack.generators import AsyncGenerator, each_mode, says
from tests.template.upstream import Upstream

SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL: Json = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
NAMED: Json = {"type": "function", "function": {"name": "weather"}}
FORMAT: Json = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": SCHEMA}}
SAMPLING: Json = {"temperature": 0.5, "top_p": 0.9}
PENALTIES: Json = {"frequency_penalty": 0.1, "presence_penalty": 0.2, "seed": 7}
ASKED: Json = {
    **SAMPLING,
    **PENALTIES,
    "max_tokens": 9,
    "stop": "end",
    "logit_bias": {"1": 2},
    "metadata": {"a": "b"},
    "parallel_tool_calls": False,
    "response_format": FORMAT,
    "tool_choice": NAMED,
    "tools": [TOOL],
    "user": "ann",
}
EXPECTED: dict[str, Json] = {
    "OpenAIChatGenerator": {name: value for name, value in ASKED.items() if name != "tools"},
    "AnthropicChatGenerator": {**SAMPLING, "max_tokens": 9, "stop_sequences": ["end"], "parallel_tool_use": False},
    "GoogleGenAIChatGenerator": {**SAMPLING, **PENALTIES, "max_output_tokens": 9, "stop_sequences": ["end"]},
    "OllamaChatGenerator": {**SAMPLING, **PENALTIES, "num_predict": 9, "stop": ["end"]},
}
CALL: Json = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "weather",
    "arguments": '{"city":"Rome"}',
}
TEXT: Json = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
TEXT["content"] = [{"type": "output_text", "text": "Let me see.", "annotations": []}]
THOUGHT: Json = {"type": "reasoning", "id": "rs_1", "summary": []}
THOUGHT["content"] = [{"type": "reasoning_text", "text": "Hm."}]
USAGE: Json = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
RESPONSE: Json = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "small"}
RESPONSE |= {
    "output": [THOUGHT, TEXT, CALL],
    "usage": USAGE,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
EVENTS: list[Json] = [
    {"type": "response.output_item.added", "output_index": 2, "item": {**THOUGHT, "content": []}},
    {"type": "response.reasoning_text.delta", "output_index": 2, "item_id": "rs_1", "content_index": 0, "delta": "Hm."},
    {"type": "response.output_item.done", "output_index": 2, "item": THOUGHT},
    {"type": "response.output_item.added", "output_index": 0, "item": {**TEXT, "content": []}},
    {
        "type": "response.output_text.delta",
        "output_index": 0,
        "item_id": "msg_1",
        "content_index": 0,
        "delta": "Let me ",
    },
    {"type": "response.output_text.delta", "output_index": 0, "item_id": "msg_1", "content_index": 0, "delta": "see."},
    {"type": "response.output_item.added", "output_index": 1, "item": {**CALL, "arguments": ""}},
    {"type": "response.function_call_arguments.delta", "output_index": 1, "item_id": "fc_1", "delta": '{"city":'},
    {"type": "response.function_call_arguments.delta", "output_index": 1, "item_id": "fc_1", "delta": '"Rome"}'},
    {"type": "response.completed", "response": RESPONSE},
]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
def client(serve: Serve, upstream: Upstream) -> Client:
    key = Secret.from_token("none")
    return serve(haystack_component(OpenAIResponsesChatGenerator(api_key=key, api_base_url=upstream.url)))


def answer_in(upstream: Upstream, *, stream: bool) -> None:
    frames = [f"event: {event['type']}\ndata: {json.dumps(event | {'sequence_number': 0})}\n\n" for event in EVENTS]
    upstream.answers("".join(frames) if stream else RESPONSE)
    if stream:
        upstream.headers["content_type"] = "text/event-stream"


def provider(name: str) -> Any:
    """Return a generator of a class of this name: the real ones are in packages of their own."""
    return type(name, (AsyncGenerator,), {})(says("Hello"))


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("derived", [False, True], ids=["itself", "derived"])
def test_a_generator_gets_the_parameters_that_its_class_has_under_its_names(
    serve: Serve, name: str, derived: bool
) -> None:
    generator = provider(name)
    if derived:
        generator.__class__ = type("Mine", (type(generator),), {})

    ask(serve(haystack_component(generator)), **ASKED)

    assert generator.asked[0].generation_kwargs == EXPECTED[name]
    assert [tool.name for tool in generator.asked[0].tools or ()] == ["weather"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["AnthropicChatGenerator"] * 2, {**SAMPLING, "max_tokens": 9, "stop_sequences": ["end"]}),
        (["AnthropicChatGenerator", "OpenAIChatGenerator"], {**SAMPLING, "max_tokens": 9}),
        (["GoogleGenAIChatGenerator", "OllamaChatGenerator"], {**SAMPLING, **PENALTIES}),
    ],
)
def test_generators_of_several_classes_get_what_all_of_them_understand(
    serve: Serve, names: list[str], expected: Json
) -> None:
    generators = [provider(name) for name in names]
    agent = Agent(chat_generator=FallbackChatGenerator(generators))

    ask(serve(haystack_component(agent)), **ASKED)

    assert generators[0].asked[0].generation_kwargs == expected


def test_an_author_says_the_names_of_another_class(serve: Serve) -> None:
    generator = AsyncGenerator(says("Hello"))
    names: Any = {"max_tokens": "n_predict", "stop": lambda stop: {"until": [stop]}}

    ask(serve(haystack_component(generator, parameters=lambda body: generator_parameters(body, names))), **ASKED)

    assert generator.asked[0].generation_kwargs == {"n_predict": 9, "until": ["end"]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (SAMPLING | PENALTIES | {"stop": ["end"], "logit_bias": {"1": 2}, "user": "ann"}, {**SAMPLING, "user": "ann"}),
        ({"max_tokens": 9}, {"max_output_tokens": 9}),
        ({"max_completion_tokens": 9, "max_tokens": None}, {"max_output_tokens": 9}),
        ({"response_format": FORMAT}, {"text": {"format": {"type": "json_schema", **FORMAT["json_schema"]}}}),
        ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
        (
            {"verbosity": "low", "reasoning_effort": "low"},
            {"text": {"verbosity": "low"}, "reasoning": {"effort": "low"}},
        ),
        (
            {"response_format": {"type": "text"}, "verbosity": "low"},
            {"text": {"format": {"type": "text"}, "verbosity": "low"}},
        ),
        ({"logprobs": True, "top_logprobs": 2}, {"include": ["message.output_text.logprobs"], "top_logprobs": 2}),
        ({"logprobs": False, "tool_choice": "auto"}, {}),
        ({"tools": [TOOL], "tool_choice": NAMED}, {"tool_choice": {"type": "function", "name": "weather"}}),
        (
            {"response_format": {"type": "json_schema", "json_schema": None}},
            {"text": {"format": {"type": "json_schema"}}},
        ),
        ({"tools": [TOOL], "tool_choice": "required"}, {"tool_choice": "required"}),
    ],
)
def test_the_responses_api_gets_the_parameters_of_a_chat_in_its_form(
    upstream: Upstream, client: Client, fields: Json, expected: Json
) -> None:
    answer_in(upstream, stream=False)

    response = ask(client, **fields)

    assert response.status_code == 200, response.text
    (body,) = upstream.bodies
    assert {
        name: value for name, value in body.items() if name not in ("input", "model", "stream", "tools")
    } == expected


@each_mode
def test_the_responses_api_answers_a_chat_and_goes_on_after_its_calls(
    upstream: Upstream, client: Client, stream: bool
) -> None:
    answer_in(upstream, stream=stream)
    calls = [("fc_1", "weather", '{"city":"Rome"}')]

    answer = answer_from(client, stream=stream, tools=[TOOL])

    assert answer == Answer("Let me see.", "Hm.", calls, finish_reason="tool_calls", usage=usage_of(3, 2))
    function = {"name": "weather", "arguments": '{"city":"Rome"}'}
    history = [
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "tool_calls": [{"id": "fc_1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "fc_1", "content": "Rain."},
    ]
    ask(client, messages=history, stream=stream)
    _, call, result = upstream.bodies[-1]["input"]
    assert (call["type"], call["call_id"]) == ("function_call", "fc_1")
    assert (result["type"], result["call_id"]) == ("function_call_output", "fc_1")
