"""What a service sees of a request for a response, which is a chat; and requests that are refused."""

from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from app.errors import CompletionError
from app.responses.request import responses_request
from app.services import Body, Hooks, Messages
from schemas.chat import Json
from tests.conftest import SERVER_ERROR, Client, Serve, error_of, given, yielding
from tests.template.chat.scripted import Scripted
from tests.template.responses.events import create, respond

HI: Json = {"role": "user", "content": "Hi"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
CALLED = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "Rain."}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
A, B = {"type": "input_text", "text": "A"}, {"type": "input_text", "text": "B"}
TEXT_A, TEXT_B = {"type": "text", "text": "A"}, {"type": "text", "text": "B"}
REFUSAL = {"type": "refusal", "refusal": "No."}
IMAGE = {"image_url": "data:image/png;base64,AA==", "detail": "low"}
IN_CHAT = {"url": "data:image/png;base64,AA==", "detail": "low"}
FILE = {"file_data": "data:text/plain;base64,AA==", "filename": "a.txt"}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
PATCH = {"name": "patch", "input": "+ a"}


def user(*parts: Json) -> Json:
    return {"role": "user", "content": list(parts)}


def assistant(content: str | list[Json] | None, **fields: object) -> Json:
    return {"role": "assistant", "content": content, **fields}


def tool(content: str | list[Json], call_id: str = "call_1") -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


ITEMS: dict[str, tuple[object, list[Json]]] = {
    "a string": ("Hi", [HI]),
    "a message": ([{"type": "message", "role": "developer", "content": ""}], [{"role": "developer", "content": ""}]),
    "a message without a type, and one text": ([user(A)], [{"role": "user", "content": "A"}]),
    "no content": ([assistant(None), assistant([])], [assistant(None)]),
    "parts": (
        [user(A, {"type": "input_image", **IMAGE}, {"type": "input_file", **FILE}, AUDIO)],
        [user(TEXT_A, {"type": "image_url", "image_url": IN_CHAT}, {"type": "file", "file": FILE}, AUDIO)],
    ),
    "a refusal": ([assistant([REFUSAL])], [assistant([REFUSAL])]),
    "a turn of the assistant": (
        [
            *(THOUGHT, assistant("I look."), CALL, {**CALL, "call_id": "call_2"}),
            *(OUTPUT, {**OUTPUT, "call_id": "call_2", "output": [A, B]}),
        ],
        [
            assistant("I look.", reasoning_content="Hm.", tool_calls=[CALLED, {**CALLED, "id": "call_2"}]),
            *(tool("Rain."), tool([TEXT_A, TEXT_B], "call_2")),
        ],
    ),
    "an empty output": ([CALL, {**OUTPUT, "output": ""}], [assistant(None, tool_calls=[CALLED]), tool("")]),
    "reasoning as content": (
        [{"type": "reasoning", "summary": [], "content": "Hm."}, assistant("Yes.")],
        [assistant("Yes.", reasoning_content="Hm.")],
    ),
    "reasoning of a turn that was cut off": ([THOUGHT, HI, assistant("Yes.")], [HI, assistant("Yes.")]),
    "text on both sides of a call": (
        [assistant("One. "), CALL, assistant("Two.")],
        [assistant("One. Two.", tool_calls=[CALLED])],
    ),
    "parts on both sides of a call": (
        [assistant("A"), CALL, assistant([REFUSAL])],
        [assistant([TEXT_A, REFUSAL], tool_calls=[CALLED])],
    ),
    "two messages of the assistant": ([assistant("One."), assistant("Two.")], [assistant("One."), assistant("Two.")]),
    "a custom call": (
        [
            {"type": "custom_tool_call", "call_id": "call_1", **PATCH},
            {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Done."},
        ],
        [assistant(None, tool_calls=[{"id": "call_1", "type": "custom", "custom": PATCH}]), tool("Done.")],
    ),
    "items of services with tools of their own": (
        [
            {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "x", "tools": [], "error": None},
            {"type": "tool_search_call", "id": "ts_1", "call_id": None, "arguments": {}, "status": "completed"},
            HI,
        ],
        [HI],
    ),
    "nulls": (
        [
            {"type": None, "id": None, "status": None, **user({**A, "refusal": None})},
            {**THOUGHT, "content": None, "encrypted_content": None, "status": None},
            {**CALL, "id": None, "status": None, "namespace": None},
            {**OUTPUT, "id": None, "status": None, "output": [{"type": "input_file", **FILE, "file_id": None}]},
        ],
        [
            {"role": "user", "content": "A"},
            assistant(None, reasoning_content="Hm.", tool_calls=[CALLED]),
            tool([{"type": "file", "file": FILE}]),
        ],
    ),
    "reasoning and its summary": (
        [{**THOUGHT, "content": [{"type": "reasoning_text", "text": "Hm."}]}, assistant("Yes.")],
        [assistant("Yes.", reasoning_content="Hm.")],
    ),
    "a call of the server's own tool": ([{"type": "web_search_call", "id": "ws_1", "status": "completed"}, HI], [HI]),
}


@pytest.mark.parametrize(("input", "messages"), ITEMS.values(), ids=ITEMS)
def test_items_are_messages_of_a_chat(client: Client, service: Scripted, input: object, messages: list[Json]) -> None:
    respond(client, input)
    assert service.messages == messages


def test_instructions_are_the_first_message(client: Client, service: Scripted) -> None:
    respond(client, instructions="Be brief.")
    assert service.messages == [{"role": "system", "content": "Be brief."}, HI]


SAME: Json = {"temperature": 0.5, "top_p": 1, "user": "me", "metadata": {"a": "b"}, "seed": 1, "x": [1]}
SCHEMA = {"name": "s", "schema": {"type": "object"}, "strict": True}
FUNCTION = {"name": "f", "description": "F.", "parameters": {"type": "object"}, "strict": True}
FUNCTION_IN_CHAT = {"type": "function", "function": FUNCTION}
MCP = {"type": "mcp", "server_label": "x"}
SPACE = {"type": "namespace", "name": "n", "description": "N."}
CUSTOM = {"name": "patch", "format": {"type": "text"}}
GRAMMAR = {"syntax": "lark", "definition": "start: WORD"}
CHOICE, CHOICE_IN_CHAT = {"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}
ALLOWED = {"mode": "required", "tools": [CHOICE_IN_CHAT]}
PARAMETERS: dict[str, tuple[Json, Json]] = {
    "fields of the same name, and unknown ones": (SAME, SAME),
    "max_output_tokens": ({"max_output_tokens": 16, "max_tool_calls": 1}, {"max_completion_tokens": 16}),
    "reasoning": ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
    "no reasoning": ({"reasoning": {"effort": None}}, {}),
    "text": ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
    "a schema": (
        {"text": {"format": {"type": "json_schema", **SCHEMA}}},
        {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
    ),
    "json": ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
    "tools": (
        {"tools": [{"type": "function", **FUNCTION}, {"type": "custom", **CUSTOM}, {"type": "web_search"}]},
        {"tools": [FUNCTION_IN_CHAT, {"type": "custom", "custom": CUSTOM}]},
    ),
    "only tools that a chat cannot hold": (
        {
            "tools": [{"type": "web_search"}, {"type": "mcp", "server_label": "x"}],
            "tool_choice": {"type": "mcp", "server_label": "x"},
        },
        {},
    ),
    "a namespace": (
        {"tools": [{**SPACE, "tools": [{"type": "function", **FUNCTION, "defer_loading": None}]}]},
        {"tools": [FUNCTION_IN_CHAT]},
    ),
    "log probabilities": ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
    "a tool with a grammar": (
        {"tools": [{"type": "custom", "name": "patch", "format": {"type": "grammar", **GRAMMAR}}]},
        {"tools": [{"type": "custom", "custom": {"name": "patch", "format": {"type": "grammar", "grammar": GRAMMAR}}}]},
    ),
    "tool_choice": ({"tool_choice": "required"}, {"tool_choice": "required"}),
    "a tool as tool_choice": ({"tool_choice": CHOICE}, {"tool_choice": CHOICE_IN_CHAT}),
    "allowed tools": (
        {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [CHOICE]}},
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": ALLOWED}},
    ),
    "what a chat does not have": ({"store": False, "include": [], "truncation": "auto", "background": False}, {}),
}


@pytest.mark.parametrize(("sent", "body"), PARAMETERS.values(), ids=PARAMETERS)
def test_parameters_have_the_names_of_a_chat(client: Client, service: Scripted, sent: Json, body: Json) -> None:
    respond(client, **sent)
    assert service.body == {"model": "test", "messages": [HI], **body}


def test_a_stream_asks_for_its_usage(client: Client, service: Scripted) -> None:
    create(client, stream=True, stream_options={"include_obfuscation": False})
    assert (service.body["stream"], service.body["stream_options"]) == (True, {"include_usage": True})


@pytest.mark.anyio
async def test_a_service_reads_the_request_for_a_response_but_none_in_a_chat_after_it(serve: Serve) -> None:
    seen: list[Json | None] = []

    def answer(model: str, messages: Messages, body: Body) -> str:
        seen.append(responses_request())
        return "Hi"

    client = serve(answer)
    sent = {"model": "test", "input": "Hi", "tools": [{"type": "web_search"}], "include": ["x"]}
    transport = ASGITransport(app=client.app)
    async with AsyncClient(transport=transport, base_url="http://test") as pipelined:  # it serves in the caller's task
        await pipelined.post("/v1/responses", json=sent)
        await pipelined.post("/v1/chat/completions", json={"model": "test", "messages": [HI]})
    assert seen == [sent, None]


def test_a_hook_sees_a_chat(serve: Serve, service: Scripted) -> None:
    hooks = Hooks(pre_hook=lambda request: request.messages.append({"role": "user", "content": "!"}))
    respond(serve(service, hooks=hooks))
    assert [each["content"] for each in service.messages] == ["Hi", "!"]


@pytest.mark.parametrize("path", ["/v1/responses", "/responses", "/v1//responses"])
def test_a_response_is_made_at_each_path(client: Client, path: str) -> None:
    assert client.post(path, json={"model": "test", "input": "Hi"}).json()["object"] == "response"


WRONG: list[tuple[str, Json]] = [
    ("input", {"input": None}),
    ("input", {"input": []}),
    ("input", {"input": [{"type": "reasoning", "summary": []}]}),
    ("input[0].role", {"input": [{}]}),
    ("input[0].role", {"input": [{"type": "message", "content": "Hi"}]}),
    ("input[0].content", {"input": [{"role": "user", "content": 5}]}),
    ("input[0].type", {"input": [user({"text": "Hi"}, {"text": "Hi"})]}),
    ("input[0].text", {"input": [user({"type": "input_text"})]}),
    ("input[0]", {"input": [user({"type": "input_image", "file_id": "file-1"})]}),
    ("input[0].call_id", {"input": [{"type": "function_call_output", "output": "Rain."}]}),
    ("input[0]", {"input": [{**CALL, "arguments": {}}]}),
    ("input[1]", {"input": [CALL, {**OUTPUT, "output": {}}]}),
    ("input[0]", {"input": [{"type": "compaction", "encrypted_content": "x"}]}),
    ("input[0]", {"input": [{"type": "compaction", "encrypted_content": 5}]}),
    ("tools[0].name", {"tools": [{"type": "function"}]}),
    ("tool_choice.name", {"tool_choice": {"type": "function"}}),
    ("background", {"background": True, "store": False}),
    ("conversation", {"conversation": "conv_1"}),
    ("prompt", {"prompt": {"id": "pmpt_1"}}),
    ("temperature", {"temperature": 3}),
    ("max_output_tokens", {"max_output_tokens": 15}),
    ("max_tool_calls", {"max_tool_calls": 0}),
    ("tool_choice", {"tool_choice": "invalid_choice"}),
    ("input[0].role", {"input": [{"role": "robot", "content": "Hi"}]}),
    ("input[0].content", {"input": [{"role": "user"}]}),
    ("input[0].content", {"input": [{"role": "user", "content": None}]}),
    ("input[0]", {"input": [user()]}),
    ("input[0]", {"input": [OUTPUT]}),
    ("input[1].output", {"input": [CALL, {**OUTPUT, "output": None}]}),
    ("input[0].refusal", {"input": [user({"type": "refusal"})]}),
    ("input[0]", {"input": [user({"type": "input_audio", "input_audio": {}})]}),
    ("text.format", {"text": {"format": 5}}),
]


@pytest.mark.parametrize(("param", "fields"), WRONG, ids=[f"{number}-{case[0]}" for number, case in enumerate(WRONG)])
def test_what_is_wrong_is_a_400_that_names_the_field(client: Client, param: str, fields: Json) -> None:
    refused = create(client, **fields)
    assert (refused.status_code, error_of(refused)["param"]) == (400, param)


def test_a_request_needs_an_input_or_a_previous_response(client: Client) -> None:
    refused = client.post("/v1/responses", json={"model": "test"})
    assert (refused.status_code, error_of(refused)["param"]) == (400, "input")


TOO_LONG = CompletionError("Too long.", status=400, code="context_length_exceeded", param="input")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "fields", "expected"),
    [
        (TOO_LONG, {}, (400, "context_length_exceeded", "input")),
        (ValueError("secret"), {}, (500, None, None)),
        (TOO_LONG, {"previous_response_id": "resp_1"}, (400, "previous_response_not_found", "previous_response_id")),
        (TOO_LONG, {"model": "x"}, (404, "model_not_found", "model")),
    ],
    ids=["of the service", "unexpected", "no previous response", "no model"],
)
def test_an_error_before_the_first_item_is_one_of_http(
    serve: Serve, error: Exception, fields: Json, expected: tuple[Any, ...], stream: bool
) -> None:
    refused = create(serve(yielding(error)), stream=stream, **fields)
    told = error_of(refused)
    assert (refused.status_code, told["code"], told["param"]) == expected
    assert (told["message"] == SERVER_ERROR) == (expected[0] == 500)


TOOL = {"type": "function", "name": "f"}
SPOKEN = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}, {"role": "user", "content": "3"}]


@pytest.mark.parametrize("path", ["/v1/responses", "/responses"])
def test_a_conversation_goes_on_from_its_summary(client: Client, service: Scripted, path: str) -> None:
    first = respond(client, SPOKEN)
    asked = {"model": "test", "previous_response_id": first["id"], "input": "Four", "tools": [TOOL]}
    compacted = client.post(f"{path}/compact", json=asked).json()
    *earlier, prompt = service.messages

    assert [message["content"] for message in earlier] == ["One", "Two", "3", "3", "Four"]
    assert service.body.keys() == {"model", "messages"}
    assert compacted["object"] == "response.compaction"
    items = compacted["output"]
    assert [item["type"] for item in items] == ["message", "message", "message", "compaction"]
    assert [item["content"][0]["text"] for item in items[:-1]] == ["One", "3", "Four"]

    respond(client, [*items, {"role": "user", "content": "Five"}])
    *users, summary, last = service.messages
    assert ([message["content"] for message in users], last["content"]) == (["One", "3", "Four"], "Five")
    assert summary == {"role": "user", "content": f"Summary of the conversation so far:\n\n{prompt['content']}"}


def test_tokens_are_counted_by_the_counter_that_is_plugged_in(client: Client, serve: Serve) -> None:
    def count(model: str, messages: Messages, body: Body) -> int:
        return sum(len(str(message["content"]).split()) for message in messages)

    asked = {"model": "test", "instructions": "Be brief.", "input": "Hello there, world"}
    counting = serve(yielding(), dependencies={"token_counter": given(count)})
    counted = counting.post("/v1/responses/input_tokens", json=asked)
    refused = client.post("/v1/responses/input_tokens", json=asked)

    assert (counted.status_code, counted.json()) == (200, {"object": "response.input_tokens", "input_tokens": 5})
    assert (refused.status_code, "`token_counter`" in error_of(refused)["message"]) == (404, True)
    assert counting.post("/v1/responses/input_tokens", json={**asked, "model": "no"}).status_code == 404


def test_tools_that_a_chat_cannot_hold_are_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "app.responses"):
        respond(client, tools=[{"type": "web_search"}])
    assert "A tool of the type 'web_search' is not in the chat that the model gets" in caplog.messages
