"""What a service sees of a request for a response: a chat."""

from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from app.responses.request import responses_request
from app.services import Hooks
from schemas.chat import Json
from tests.conftest import Client, Serve, ask, error_of

FUNCTION = {"name": "f", "description": "F.", "parameters": {"type": "object"}, "strict": True}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
ASKED = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


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


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def client(serve: Serve, seen: Seen) -> Client:
    return serve(seen)


def respond(client: Client, input: object = "Hi", **fields: object) -> Any:
    return client.post("/v1/responses", json={"model": "test", "input": input, **fields})


def message(role: str, *parts: Json) -> Json:
    return {"type": "message", "role": role, "content": list(parts)}


ITEMS: list[tuple[str, object, list[Json]]] = [
    ("a string", "Hi", [{"role": "user", "content": "Hi"}]),
    ("an easy message", [{"role": "developer", "content": "Hi"}], [{"role": "developer", "content": "Hi"}]),
    ("no content", [{"role": "user", "content": None}], [{"role": "user", "content": None}]),
    ("one text", [message("user", {"type": "input_text", "text": "Hi"})], [{"role": "user", "content": "Hi"}]),
    (
        "parts",
        [
            message(
                "user",
                {"type": "input_text", "text": "Hi"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
                {"type": "input_file", "file_data": "data:text/plain;base64,AA==", "filename": "a.txt"},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            )
        ],
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Hi"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                    {"type": "file", "file": {"file_data": "data:text/plain;base64,AA==", "filename": "a.txt"}},
                    {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                ],
            }
        ],
    ),
    (
        "a refusal",
        [message("assistant", {"type": "refusal", "refusal": "No."})],
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
    ),
    (
        "a turn of the assistant",
        [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"role": "assistant", "content": "I look."},
            CALL,
            {**CALL, "call_id": "call_2"},
            {"type": "function_call_output", "call_id": "call_1", "output": "Rain."},
            {
                "type": "function_call_output",
                "call_id": "call_2",
                "output": [{"type": "input_text", "text": "A"}, {"type": "input_text", "text": "B"}],
            },
        ],
        [
            {
                "role": "assistant",
                "content": "I look.",
                "reasoning_content": "Hm.",
                "tool_calls": [ASKED, {**ASKED, "id": "call_2"}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
            {
                "role": "tool",
                "tool_call_id": "call_2",
                "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}],
            },
        ],
    ),
    (
        "an empty output",
        [CALL, {"type": "function_call_output", "call_id": "call_1", "output": ""}],
        [
            {"role": "assistant", "content": None, "tool_calls": [ASKED]},
            {"role": "tool", "tool_call_id": "call_1", "content": ""},
        ],
    ),
    (
        "thoughts of a turn that was cut off",
        [
            {"type": "reasoning", "summary": [], "content": "Hm."},
            {"role": "user", "content": "Go on."},
            {"role": "assistant", "content": "Yes."},
        ],
        [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "Yes."}],
    ),
    (
        "text on both sides of a call",
        [{"role": "assistant", "content": "One. "}, CALL, {"role": "assistant", "content": "Two."}],
        [{"role": "assistant", "content": "One. Two.", "tool_calls": [ASKED]}],
    ),
    (
        "parts on both sides of a call",
        [{"role": "assistant", "content": "One."}, CALL, message("assistant", {"type": "refusal", "refusal": "No."})],
        [
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "One."}, {"type": "refusal", "refusal": "No."}],
                "tool_calls": [ASKED],
            }
        ],
    ),
    (
        "two messages of the assistant",
        [{"role": "assistant", "content": "One."}, {"role": "assistant", "content": "Two."}],
        [{"role": "assistant", "content": "One."}, {"role": "assistant", "content": "Two."}],
    ),
    (
        "a custom call",
        [
            {"type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": "+ a"},
            {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Done."},
        ],
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "custom", "custom": {"name": "patch", "input": "+ a"}}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "Done."},
        ],
    ),
    (
        "what a tool of the server did",
        [{"type": "web_search_call", "id": "ws_1", "status": "completed"}, {"role": "user", "content": "Hi"}],
        [{"role": "user", "content": "Hi"}],
    ),
]


@pytest.mark.parametrize(("input", "messages"), [case[1:] for case in ITEMS], ids=[case[0] for case in ITEMS])
def test_items_are_messages_of_a_chat(client: Client, seen: Seen, input: object, messages: list[Json]) -> None:
    assert respond(client, input).status_code == 200
    assert seen.messages == messages


def test_instructions_are_the_first_message(client: Client, seen: Seen) -> None:
    respond(client, instructions="Be brief.")
    assert seen.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


CUSTOM = {"name": "patch", "format": {"type": "text"}}
GRAMMAR = {"syntax": "lark", "definition": "start: WORD"}
SCHEMA = {"name": "s", "schema": {"type": "object"}, "strict": True}
PARAMETERS: list[tuple[Json, Json]] = [
    ({"temperature": 0.5, "top_p": 1, "user": "me"}, {"temperature": 0.5, "top_p": 1, "user": "me"}),
    ({"metadata": {"a": "b"}, "seed": 1, "x": [1]}, {"metadata": {"a": "b"}, "seed": 1, "x": [1]}),
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
    (
        {"tool_choice": {"type": "function", "name": "f"}},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
    ),
    (
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}},
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            }
        },
    ),
    ({"stream": True, "stream_options": {"include_obfuscation": False}}, {"stream_options": {"include_usage": True}}),
    ({"store": False, "include": [], "truncation": "auto", "background": False}, {}),
]


@pytest.mark.parametrize(("sent", "body"), PARAMETERS, ids=range(len(PARAMETERS)))
def test_parameters_have_the_names_of_a_chat(client: Client, seen: Seen, sent: Json, body: Json) -> None:
    assert respond(client, **sent).status_code == 200
    messages = [{"role": "user", "content": "Hi"}]
    assert seen.body == {
        "model": "test",
        "messages": messages,
        **({"stream": True} if "stream" in sent else {}),
        **body,
    }


def test_the_request_is_there_as_it_was_sent(client: Client, seen: Seen) -> None:
    respond(client, tools=[{"type": "web_search"}], include=["x"])
    assert seen.request == {"model": "test", "input": "Hi", "tools": [{"type": "web_search"}], "include": ["x"]}
    ask(client)
    assert seen.request is None


@pytest.mark.anyio
async def test_a_chat_in_the_context_of_a_response_before_it_has_no_request_for_a_response(
    client: Client, seen: Seen
) -> None:
    transport = ASGITransport(app=client.app)
    async with AsyncClient(transport=transport, base_url="http://test") as pipelined:  # it serves in the caller's task
        await pipelined.post("/v1/responses", json={"model": "test", "input": "Hi"})
        assert seen.request is not None
        await pipelined.post(
            "/v1/chat/completions", json={"model": "test", "messages": [{"role": "user", "content": "Hi"}]}
        )
    assert seen.request is None


def test_a_request_without_input_goes_on_from_nothing(client: Client) -> None:
    response = client.post("/v1/responses", json={"model": "test"})
    assert (response.status_code, error_of(response)["param"]) == (400, "input")


def test_hooks_see_a_chat(serve: Serve, seen: Seen) -> None:
    hooks = Hooks(pre_hook=lambda request: request.messages.append({"role": "user", "content": "!"}))
    respond(serve(seen, hooks=hooks))
    assert [each["content"] for each in seen.messages] == ["Hi", "!"]


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
    ({"input": [{"type": "function_call_output", "call_id": "call_1", "output": {}}]}, "input[0]"),
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
    response = client.post("/v1/responses", json={"model": "test", "input": "Hi", **fields})
    assert response.status_code == 400
    assert error_of(response)["param"] == param
