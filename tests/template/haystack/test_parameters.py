"""What of a request reaches a generator: OpenAI's parameters, and the client's own tools."""

import json

import pytest
from haystack.components.generators.chat import MockChatGenerator, OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools.errors import ToolInvocationError
from haystack.utils import Secret
from httpx import MockTransport, Request, Response

from app.errors import InvalidRequestError
from app.haystack.messages import generator_parameters, to_tools
from app.haystack.model import haystack_component
from schemas.chat import ChatCompletionRequest, Json
from tests.conftest import Serve, ask, error_of

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
OURS = {"model", "messages", "stream", "n", "store", "tools"}  # which are the server's, or not a generator's
FALSY: Json = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "parallel_tool_calls": False,
    "seed": 0,
    "stop": [],
    "temperature": 0.0,
    "top_logprobs": 0,
    "user": "",
}
COMPLETED: Json = {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def body_of(**fields: object) -> Json:
    return {"model": "test", "messages": [{"role": "user", "content": "Hello!"}], **fields}


def function(**fields: object) -> Json:
    return {"type": "function", "function": {"name": "weather", **fields}}


def refusal_of(*tools: object) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as raised:
        to_tools({"tools": list(tools)})
    return raised.value


def nested(levels: int) -> Json:
    schema: Json = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(("name", "value"), PASSED.items())
def test_a_parameter_of_openai_passes_under_its_own_name(name: str, value: object) -> None:
    assert generator_parameters(body_of(**{name: value})) == {"generation_kwargs": {name: value}, "tools": []}


@pytest.mark.parametrize(("name", "value"), FALSY.items())
def test_zero_false_and_nothing_are_values(name: str, value: object) -> None:
    assert generator_parameters(body_of(**{name: value}))["generation_kwargs"] == {name: value}


@pytest.mark.parametrize("name", PASSED)
def test_a_parameter_that_is_null_is_not_passed(name: str) -> None:
    assert generator_parameters(body_of(**{name: None})) == {"generation_kwargs": {}, "tools": []}


def test_a_request_without_parameters_passes_none() -> None:
    assert generator_parameters(body_of(stream=True, n=1, store=False, tools=None)) == {
        "generation_kwargs": {},
        "tools": [],
    }


def test_what_is_not_openais_is_not_passed() -> None:
    assert generator_parameters(body_of(x_provider=1, api_key="secret", extra_body={"a": 1}))["generation_kwargs"] == {}


def test_each_parameter_that_the_server_checks_passes_or_is_its_own() -> None:
    assert {*ChatCompletionRequest.__struct_fields__} <= {*PASSED} | OURS


def test_all_parameters_pass_together() -> None:
    body = body_of(**PASSED, tools=[function()])

    parameters = generator_parameters(body)

    assert parameters["generation_kwargs"] == PASSED
    assert [tool.name for tool in parameters["tools"]] == ["weather"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"description": "Knows it.", "parameters": SCHEMA}, {"description": "Knows it.", "parameters": SCHEMA}),
        ({"parameters": SCHEMA, "strict": True}, {"description": "", "parameters": SCHEMA}),
        ({"description": None, "parameters": None}, {}),
        ({"parameters": {}}, {}),
        ({}, {}),
    ],
)
def test_a_function_is_a_tool(given: Json, expected: Json) -> None:
    (tool,) = to_tools({"tools": [function(**given)]})

    no_parameters = {"type": "object", "properties": {}}
    assert tool.tool_spec == {"name": "weather", "description": "", "parameters": no_parameters, **expected}


def test_tools_keep_their_order() -> None:
    tools = [function(name=name) for name in ("weather", "time", "news")]

    assert [tool.name for tool in to_tools({"tools": tools})] == ["weather", "time", "news"]


@pytest.mark.parametrize("tools", [{}, {"tools": None}, {"tools": []}])
def test_no_tools_are_none(tools: Json) -> None:
    assert to_tools(tools) == []


def test_a_tool_of_the_client_is_not_called_in_the_server() -> None:
    (tool,) = to_tools({"tools": [function()]})

    with pytest.raises(ToolInvocationError, match="A tool of the client was called in the server"):
        tool.invoke()


@pytest.mark.parametrize(
    ("tool", "reason"),
    [
        ({"type": "web_search"}, "it has no 'function'"),
        ({"type": "custom", "custom": {"name": "weather"}}, "it has no 'function'"),
        ({"type": "function", "function": None}, "it is not of OpenAI's form"),
        ({"type": "function", "function": {}}, "it has no 'name'"),
        (function(name=5), "'name' must be a string"),
        (function(description=["Knows it."]), "'description' must be a string"),
        (function(parameters={"type": "objekt"}), "The provided parameters do not define a valid JSON schema"),
        (function(parameters={"required": "city"}), "The provided parameters do not define a valid JSON schema"),
        (function(parameters={"properties": {"city": 5}}), "The provided parameters do not define a valid JSON schema"),
        (function(parameters=nested(400)), "it is nested too deeply"),
        (function(name="time"), "another tool has the name 'time'"),
    ],
)
def test_a_tool_that_cannot_be_used_is_refused_by_its_place_and_with_a_reason(tool: Json, reason: str) -> None:
    error = refusal_of(function(name="time"), tool)

    assert (error.status, error.type, error.param) == (400, "invalid_request_error", "tools[1]")
    assert error.message == f"This model cannot use tools[1]: {reason}."


@pytest.mark.parametrize("fields", [{"parameters": {"type": "objekt"}}, {"parameters": nested(400)}])
def test_a_client_reads_which_tool_is_at_fault(serve: Serve, fields: Json) -> None:
    client = serve(haystack_component(MockChatGenerator()), max_json_depth=0)

    response = ask(client, tools=[function(), function(name="time", **fields)])

    assert response.status_code == 400
    assert error_of(response)["param"] == "tools[1]"


@pytest.mark.parametrize(
    "fields",
    [
        {name: value for name, value in PASSED.items() if name != "response_format"}
        | {"tools": [function(description="Knows it.", parameters=SCHEMA)]},
        {"response_format": PASSED["response_format"]},
    ],
)
def test_a_generator_of_openais_sends_what_the_client_did(fields: Json) -> None:
    sent: Json = {}

    def upstream(request: Request) -> Response:
        sent.update(json.loads(request.content))
        return Response(200, json={"object": "chat.completion", "choices": [COMPLETED]})

    generator = OpenAIChatGenerator(
        api_key=Secret.from_token("none"), model="test", http_client_kwargs={"transport": MockTransport(upstream)}
    )
    body = body_of(n=1, **fields)

    (reply,) = generator.run(messages=[ChatMessage.from_user("Hello!")], **generator_parameters(body))["replies"]

    assert reply.text == "Hi."
    assert {name: value for name, value in sent.items() if name != "stream"} == body
