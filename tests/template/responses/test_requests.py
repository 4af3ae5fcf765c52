"""What a service sees of a request for a response, which is a chat; and requests that are refused."""

from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from app.errors import CompletionError
from app.responses.request import responses_request
from app.services import Hooks
from schemas.chat import Json
from tests.conftest import SERVER_ERROR, Client, Serve, error_of, yielding
from tests.template.responses.events import create, respond

FUNCTION = {"name": "f", "description": "F.", "parameters": {"type": "object"}, "strict": True}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
ASKED = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OUTPUT = {"type": "function_call_output", "call_id": "call_1"}
HI: Json = {"role": "user", "content": "Hi"}


class Seen:
    """A service that notes what it is asked."""

    def __init__(self) -> None:
        self.messages: list[Json] = []
        self.body: Json = {}
        self.request: Json | None = None

    def list_models(self) -> list[str]:
        return ["test"]

    async def complete(self, model: str, messages: list[Json], body: Json) -> str:
        self.messages, self.body, self.request = messages, body, responses_request()
        return "Hello!"


@pytest.fixture(scope="module")
def seen() -> Seen:
    return Seen()


@pytest.fixture(scope="module")
def client(serve_all: Serve, seen: Seen) -> Client:
    return serve_all(seen)


def message(role: str, *parts: Json) -> Json:
    return {"type": "message", "role": role, "content": list(parts)}


def assistant(content: str | list[Json] | None, **fields: object) -> Json:
    return {"role": "assistant", "content": content, **fields}


def text(content: str) -> Json:
    return {"type": "text", "text": content}


def tool(content: str | list[Json], call_id: str = "call_1") -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


A, B = {"type": "input_text", "text": "A"}, {"type": "input_text", "text": "B"}
REFUSAL = {"type": "refusal", "refusal": "No."}
IMAGE = {"image_url": "data:image/png;base64,AA==", "detail": "low"}
FILE = {"file_data": "data:text/plain;base64,AA==", "filename": "a.txt"}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
PATCH = {"name": "patch", "input": "+ a"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}

ITEMS: dict[str, tuple[object, list[Json]]] = {
    "a string": ("Hi", [HI]),
    "a message without a type": ([{"role": "developer", "content": "Hi"}], [{"role": "developer", "content": "Hi"}]),
    "no content": ([{"role": "user", "content": None}], [{"role": "user", "content": None}]),
    "one text": ([message("user", A)], [{"role": "user", "content": "A"}]),
    "parts": (
        [message("user", A, {"type": "input_image", **IMAGE}, {"type": "input_file", **FILE}, AUDIO)],
        [
            {
                "role": "user",
                "content": [
                    text("A"),
                    {"type": "image_url", "image_url": {"url": IMAGE["image_url"], "detail": "low"}},
                    {"type": "file", "file": FILE},
                    AUDIO,
                ],
            }
        ],
    ),
    "a refusal": ([message("assistant", REFUSAL)], [assistant([REFUSAL])]),
    "a turn of the assistant": (
        [
            *(THOUGHT, assistant("I look."), CALL, {**CALL, "call_id": "call_2"}),
            *({**OUTPUT, "output": "Rain."}, {**OUTPUT, "call_id": "call_2", "output": [A, B]}),
        ],
        [
            assistant("I look.", reasoning_content="Hm.", tool_calls=[ASKED, {**ASKED, "id": "call_2"}]),
            *(tool("Rain."), tool([text("A"), text("B")], "call_2")),
        ],
    ),
    "an empty output": ([CALL, {**OUTPUT, "output": ""}], [assistant(None, tool_calls=[ASKED]), tool("")]),
    "reasoning as content": (
        [{"type": "reasoning", "summary": [], "content": "Hm."}, assistant("Yes.")],
        [assistant("Yes.", reasoning_content="Hm.")],
    ),
    "reasoning of a turn that was cut off": ([THOUGHT, HI, assistant("Yes.")], [HI, assistant("Yes.")]),
    "text on both sides of a call": (
        [assistant("One. "), CALL, assistant("Two.")],
        [assistant("One. Two.", tool_calls=[ASKED])],
    ),
    "parts on both sides of a call": (
        [assistant("One."), CALL, message("assistant", REFUSAL)],
        [assistant([text("One."), REFUSAL], tool_calls=[ASKED])],
    ),
    "two messages of the assistant": ([assistant("One."), assistant("Two.")], [assistant("One."), assistant("Two.")]),
    "a custom call": (
        [
            {"type": "custom_tool_call", "call_id": "call_1", **PATCH},
            {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Done."},
        ],
        [assistant(None, tool_calls=[{"id": "call_1", "type": "custom", "custom": PATCH}]), tool("Done.")],
    ),
    "a call of the server's own tool": ([{"type": "web_search_call", "id": "ws_1", "status": "completed"}, HI], [HI]),
}


@pytest.mark.parametrize(("input", "messages"), ITEMS.values(), ids=ITEMS)
def test_items_are_messages_of_a_chat(client: Client, seen: Seen, input: object, messages: list[Json]) -> None:
    respond(client, input)
    assert seen.messages == messages


def test_instructions_are_the_first_message(client: Client, seen: Seen) -> None:
    respond(client, instructions="Be brief.")
    assert seen.messages == [{"role": "system", "content": "Be brief."}, HI]


CUSTOM = {"name": "patch", "format": {"type": "text"}}
GRAMMAR = {"syntax": "lark", "definition": "start: WORD"}
SCHEMA = {"name": "s", "schema": {"type": "object"}, "strict": True}
CALLED = {"type": "function", "name": "f"}
CALLED_IN_CHAT = {"type": "function", "function": {"name": "f"}}
PARAMETERS: list[tuple[Json, Json]] = [
    *[(same, same) for same in ({"temperature": 0.5, "top_p": 1, "user": "me"}, {"seed": 1, "x": [1]})],
    ({"max_output_tokens": 9}, {"max_completion_tokens": 9}),
    ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
    ({"reasoning": {"effort": None}}, {}),
    ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
    (
        {"text": {"format": {"type": "json_schema", **SCHEMA}}},
        {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
    ),
    ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
    ({"tools": [{"type": "function", **FUNCTION}]}, {"tools": [{"type": "function", "function": FUNCTION}]}),
    ({"tools": [{"type": "custom", **CUSTOM}]}, {"tools": [{"type": "custom", "custom": CUSTOM}]}),
    (
        {"tools": [{"type": "custom", "name": "patch", "format": {"type": "grammar", **GRAMMAR}}]},
        {"tools": [{"type": "custom", "custom": {"name": "patch", "format": {"type": "grammar", "grammar": GRAMMAR}}}]},
    ),
    ({"tools": [{"type": "web_search"}]}, {"tools": [{"type": "web_search"}]}),
    ({"tool_choice": "required"}, {"tool_choice": "required"}),
    ({"tool_choice": CALLED}, {"tool_choice": CALLED_IN_CHAT}),
    (
        {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [CALLED]}},
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [CALLED_IN_CHAT]},
            }
        },
    ),
    ({"store": False, "include": [], "truncation": "auto", "background": False}, {}),
]


@pytest.mark.parametrize(
    ("sent", "body"), PARAMETERS, ids=[f"{number}-{', '.join(case[0])}" for number, case in enumerate(PARAMETERS)]
)
def test_parameters_have_the_names_of_a_chat(client: Client, seen: Seen, sent: Json, body: Json) -> None:
    respond(client, **sent)
    assert seen.body == {"model": "test", "messages": [HI], **body}


def test_a_stream_asks_for_its_usage(client: Client, seen: Seen) -> None:
    create(client, stream=True, stream_options={"include_obfuscation": False})
    assert (seen.body["stream"], seen.body["stream_options"]) == (True, {"include_usage": True})


@pytest.mark.anyio
async def test_a_service_reads_the_request_for_a_response_but_none_in_a_chat_after_it(
    client: Client, seen: Seen
) -> None:
    sent = {"model": "test", "input": "Hi", "tools": [{"type": "web_search"}], "include": ["x"]}
    transport = ASGITransport(app=client.app)
    async with AsyncClient(transport=transport, base_url="http://test") as pipelined:  # it serves in the caller's task
        await pipelined.post("/v1/responses", json=sent)
        assert seen.request == sent
        await pipelined.post("/v1/chat/completions", json={"model": "test", "messages": [HI]})
    assert seen.request is None


def test_a_hook_sees_a_chat(serve: Serve, seen: Seen) -> None:
    hooks = Hooks(pre_hook=lambda request: request.messages.append({"role": "user", "content": "!"}))
    respond(serve(seen, hooks=hooks))
    assert [each["content"] for each in seen.messages] == ["Hi", "!"]


@pytest.mark.parametrize("path", ["/v1/responses", "/responses", "/v1//responses"])
def test_a_response_is_made_at_each_path(client: Client, path: str) -> None:
    assert client.post(path, json={"model": "test", "input": "Hi"}).json()["object"] == "response"


WRONG: list[tuple[Json, str]] = [
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": [{}]}, "input[0].type"),
    ({"input": [{"type": "message", "content": "Hi"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"text": "Hi"}, {"text": "Hi"}]}]}, "input[0].type"),
    ({"input": [message("user", {"type": "input_text"})]}, "input[0].text"),
    ({"input": [message("user", {"type": "input_image", "file_id": "file-1"})]}, "input[0]"),
    ({"input": [{"type": "function_call_output", "output": "Rain."}]}, "input[0].call_id"),
    ({"input": [{"type": "reasoning", "summary": []}]}, "input"),
    ({"input": [{**CALL, "arguments": {}}]}, "input[0]"),
    ({"input": [{**OUTPUT, "output": {}}]}, "input[0]"),
    ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0]"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
    ({"background": True}, "background"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ({"temperature": 3}, "temperature"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"text": {"format": 5}}, "text.format"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG, ids=[f"{number}-{case[1]}" for number, case in enumerate(WRONG)])
def test_what_is_wrong_is_a_400_that_names_the_field(client: Client, fields: Json, param: str) -> None:
    refused = create(client, **fields)
    assert (refused.status_code, error_of(refused)["param"]) == (400, param)


def test_a_request_without_input_and_without_a_previous_response_is_a_400(client: Client) -> None:
    refused = client.post("/v1/responses", json={"model": "test"})
    assert (refused.status_code, error_of(refused)["param"]) == (400, "input")


NOT_FOUND = {"previous_response_id": "resp_1"}
TOO_LONG = CompletionError("Too long.", status=400, code="context_length_exceeded", param="input")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "fields", "status", "expected"),
    [
        (TOO_LONG, {}, 400, ("Too long.", "context_length_exceeded", "input")),
        (ValueError("secret"), {}, 500, (SERVER_ERROR, None, None)),
        (TOO_LONG, NOT_FOUND, 404, (None, "previous_response_not_found", "previous_response_id")),
        (TOO_LONG, {"model": "x"}, 404, ("The model 'x' does not exist. Available: test.", "model_not_found", "model")),
    ],
    ids=["of the service", "unexpected", "no previous response", "no model"],
)
def test_an_error_before_the_first_item_is_one_of_http(
    serve: Serve, error: Exception, fields: Json, status: int, expected: tuple[Any, ...], stream: bool
) -> None:
    refused = create(serve(yielding(error)), stream=stream, **fields)
    told = error_of(refused)
    assert refused.status_code == status
    assert (expected[0] or told["message"], told["code"], told["param"]) == (told["message"], *expected[1:])
