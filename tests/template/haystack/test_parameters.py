"""What of a request reaches a generator: OpenAI's parameters, the client's tools, and what a model's author adds."""

import logging

import pytest
from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage
from haystack.tools.errors import ToolInvocationError

from app.haystack.model import haystack_component
from schemas.chat import ChatCompletionRequest, Json
from tests.conftest import Serve, ask, error_of
from tests.template.haystack.generators import AsyncGenerator, Kind, each_kind, each_mode, echo, says

SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NO_PARAMETERS: Json = {"type": "object", "properties": {}}
LIMITS: Json = {"minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": False, "default": None}
DRAFT_4: Json = {"properties": {"a": {"type": "number", **LIMITS}, "b": {"anyOf": [LIMITS]}}, "required": None}
NEW_LIMITS: Json = {"exclusiveMinimum": 0, "maximum": 9, "default": None}
CURRENT: Json = {"properties": {"a": {"type": "number", **NEW_LIMITS}, "b": {"anyOf": [NEW_LIMITS]}}}
PASSED: Json = {
    "frequency_penalty": -0.5,
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "max_completion_tokens": 10,
    "max_tokens": 10,
    "metadata": {"a": "b"},
    "parallel_tool_calls": True,
    "prediction": {"type": "content", "content": "Hello!"},
    "presence_penalty": 0.5,
    "reasoning_effort": "low",
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
    "seed": 7,
    "service_tier": "auto",
    "stop": ["end"],
    "stream_options": {"include_usage": True},
    "temperature": 0.5,
    "tool_choice": {"type": "function", "function": {"name": "weather"}},
    "top_logprobs": 3,
    "top_p": 0.9,
    "user": "ann",
    "verbosity": "low",
}
NOT_PASSED = {"model", "messages", "stream", "n", "store", "tools"}  # the server's own, or no generator's
FALSY: Json = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "seed": 0,
    "stop": [],
    "temperature": 0.0,
    "top_logprobs": 0,
    "user": "",
}
OF_TOOLS: Json = {"tool_choice": "required", "parallel_tool_calls": False}


def function(**fields: object) -> Json:
    return {"type": "function", "function": {"name": "weather", **fields}}


def nested(levels: int) -> Json:
    schema: Json = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({**PASSED, "tools": [function()], "stream": True}, PASSED),
        (FALSY, FALSY),
        (dict.fromkeys(PASSED), None),
        ({"n": 1, "store": False, "tools": None}, None),
        ({"x_provider": 1, "api_key": "secret", "extra_body": {"a": 1}, "seed": 1}, {"seed": 1}),
        ({"tools": [function()], **OF_TOOLS}, OF_TOOLS),
        ({"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "seed": 1}, {"seed": 1}),
    ],
    ids=["all", "zero and false", "null", "none", "not of OpenAI", "of tools", "of tools without tools"],
)  # fmt: skip
@each_kind
def test_openais_parameters_reach_the_generator_under_their_names(
    serve: Serve, kind: Kind, fields: Json, expected: Json | None
) -> None:
    generator = kind(says("Hello"))

    assert ask(serve(haystack_component(generator)), **fields).status_code == 200

    assert generator.asked[0].generation_kwargs == expected


def test_each_parameter_that_the_server_checks_is_passed_or_its_own() -> None:
    assert {*ChatCompletionRequest.__struct_fields__} - {"extra"} <= {*PASSED} | NOT_PASSED


@each_kind
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"description": "Knows it.", "parameters": SCHEMA}, {"description": "Knows it.", "parameters": SCHEMA}),
        ({"parameters": SCHEMA, "strict": True}, {"parameters": SCHEMA}),
        ({"description": None, "parameters": None}, {}),
        ({"parameters": {}}, {}),
        ({"parameters": DRAFT_4}, {"parameters": CURRENT}),
        ({}, {}),
    ],
)
def test_the_clients_functions_reach_the_generator_as_tools(
    serve: Serve, kind: Kind, fields: Json, expected: Json
) -> None:
    generator = kind(says("Hello"))

    ask(serve(haystack_component(generator)), tools=[function(**fields), function(name="time"), function(name="news")])

    tools = generator.asked[0].tools or []
    assert [tool.name for tool in tools] == ["weather", "time", "news"]
    assert tools[0].tool_spec == {"name": "weather", "description": "", "parameters": NO_PARAMETERS, **expected}
    with pytest.raises(ToolInvocationError, match="A tool of the client was called in the server"):
        tools[0].invoke()


@pytest.mark.parametrize(
    ("tool", "reason"),
    [
        ({"type": "function"}, "it has no 'function'"),
        (function(description=["Knows it."]), "'description' must be a string"),
        (function(parameters={"type": "objekt"}), "The provided parameters do not define a valid JSON schema"),
        (function(parameters={"properties": {"city": 5}}), "The provided parameters do not define a valid JSON schema"),
        (function(parameters=nested(400)), "it is nested too deeply"),
        (function(name="time"), "another tool has the name 'time'"),
    ],
    ids=["no function", "description", "schema", "property", "deep", "name twice"],
)
def test_a_tool_that_haystack_cannot_use_is_a_400_that_names_it_and_the_reason(
    serve: Serve, tool: Json, reason: str
) -> None:
    generator = AsyncGenerator(says("Never"))

    response = ask(serve(haystack_component(generator), max_json_depth=0), tools=[function(name="time"), tool])

    assert (response.status_code, error_of(response)["type"]) == (400, "invalid_request_error")
    assert error_of(response)["param"] == "tools[1]"
    assert error_of(response)["message"] == f"This model cannot use tools[1]: {reason}."
    assert not generator.asked


@pytest.mark.parametrize("others", [[function()], []])
def test_tools_that_haystack_has_no_class_for_are_left_out_and_named_in_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture, others: list[Json]
) -> None:
    generator = AsyncGenerator(says("Hello"))
    hosted: list[Json] = [{"type": "web_search"}, {"type": "custom", "custom": {"name": "weather"}}]

    with caplog.at_level(logging.INFO, "app.haystack"):
        response = ask(serve(haystack_component(generator)), tools=[*hosted, *others], tool_choice="auto")

    assert response.status_code == 200
    assert [tool.name for tool in generator.asked[0].tools or []] == ["weather" for _ in others]
    assert generator.asked[0].generation_kwargs == ({"tool_choice": "auto"} if others else None)
    logged = [record.getMessage() for record in caplog.records if record.name == "app.haystack"]
    assert logged == [f"A tool of the type {tool['type']!r} is left out: Haystack has none like it" for tool in hosted]


def test_tools_are_only_checked_if_a_component_takes_them(serve: Serve) -> None:
    wrong = [function(parameters={"type": "objekt"})]
    agent = haystack_component(Agent(chat_generator=AsyncGenerator(says("Hello"))))

    assert ask(serve({"agent": agent}), model="agent", tools=wrong).status_code == 200


@each_mode
@each_kind
def test_a_part_of_an_unknown_type_never_reaches_the_generator(serve: Serve, kind: Kind, stream: bool) -> None:
    generator = kind(says("Never"))

    response = ask(serve(haystack_component(generator)), [{"type": "newer"}], stream=stream)

    assert (response.status_code, error_of(response)["param"]) == (400, "messages[0]")
    assert not generator.asked


@each_kind
def test_an_author_chooses_the_parameters_and_the_inputs(serve: Serve, kind: Kind) -> None:
    generator = kind(echo)
    system = ChatMessage.from_system("Be brief.")
    model = haystack_component(
        generator,
        inputs=lambda messages, body: {"messages": [system, *messages]},
        parameters=lambda body: {"generation_kwargs": {"top_k": body["top_k"]}},
    )

    ask(serve(model), top_k=5, temperature=1)

    assert generator.asked[0].generation_kwargs == {"top_k": 5}
    assert [message.text for message in generator.asked[0].messages] == ["Be brief.", "Hello!"]


def test_inputs_of_an_author_take_precedence_over_the_request(serve: Serve) -> None:
    generator = AsyncGenerator(echo)
    kwargs = {"top_k": 3, "seed": 1}
    model = haystack_component(
        generator,
        inputs=lambda messages, body: {"messages": messages, "generation_kwargs": kwargs, "tools": []},
    )

    ask(serve(model), temperature=0.5, seed=2, tools=[function()])

    assert generator.asked[0].generation_kwargs == {"top_k": 3, "temperature": 0.5, "seed": 1}
    assert generator.asked[0].tools == []
    assert kwargs == {"top_k": 3, "seed": 1}
