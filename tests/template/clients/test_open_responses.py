"""What the server sends is of OpenAI's types and Open Responses' schemas, and passes the latter's compliance tests."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openai.types.responses import Response, ResponsesServerEvent
from pydantic import TypeAdapter
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from schemas.chat import Json
from tests.conftest import PATIENCE
from tests.template.clients.serving import MODELS
from tests.template.e2e.server import Server
from tests.template.responses.events import checked

SPEC = json.loads(files("llm_comply").joinpath("specs/openresponses.json").read_text())
REGISTRY: Any = Registry().with_resource("urn:spec", DRAFT202012.create_resource(SPEC))
SCHEMAS = {
    schema["properties"]["type"]["enum"][0]: name
    for name, schema in SPEC["components"]["schemas"].items()
    if name.endswith("StreamingEvent")
}
OF_OPENAI_ALONE = {"keepalive", "response.reasoning_text.delta", "response.reasoning_text.done"}
SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(ResponsesServerEvent)
PLAIN: Json = {"input": "Hello!"}
CALL = {"call_id": "call_1", "name": "get_weather", "arguments": '{"city": "Paris"}'}
FULL: Json = {
    "input": [
        {"role": "user", "content": "How is it in Paris?"},
        {"type": "function_call", **CALL},
        {"type": "function_call_output", "call_id": "call_1", "output": "Rain in Paris."},
        {"role": "user", "content": "And in Rome?"},
    ],
    "tools": [{"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}],
    "reasoning": {"summary": "auto", "effort": "low"},
    "include": ["message.output_text.logprobs"],
    "metadata": {"of": "a test"},
    "top_logprobs": 1,
}


def faults(value: object, schema: str) -> list[str]:
    """Return what of a value is not as a schema of Open Responses wants it."""
    validator = Draft202012Validator({"$ref": f"urn:spec#/components/schemas/{schema}"}, registry=REGISTRY)
    return [f"{schema} {error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def post(server: Server, path: str = "", **body: object) -> httpx.Response:
    answer = httpx.post(f"{server.url}/v1/responses{path}", json={"model": "complies"} | body, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return answer


def message(text: str, role: str = "user") -> Json:
    part = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": part, "text": text}]}


@pytest.mark.parametrize("fields", [PLAIN, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("model", sorted(MODELS.keys() - {"fails"}))
def test_events_and_objects_are_of_openais_types_and_open_responses(server: Server, model: str, fields: Json) -> None:
    events = checked(post(server, **fields, model=model, stream=True))
    kinds = [(event, SCHEMAS[event["type"]]) for event in events if event["type"] not in OF_OPENAI_ALONE]
    url = f"{server.url}/v1/responses/{events[-1]['response']['id']}"
    kept, items = (httpx.get(f"{url}{path}", timeout=PATIENCE).json() for path in ("", "/input_items"))
    whole = [] if model == "breaks" else [post(server, **fields, model=model).json()]
    kinds += [(response, "ResponseResource") for response in (kept, *whole)] + [
        (item, "ItemField") for item in items["data"]
    ]
    assert [fault for value, schema in kinds for fault in faults(value, schema)] == []
    assert all(Response.model_validate(response, strict=True) for response in (kept, *whole))


def test_compact_response_and_missing_model(server: Server) -> None:
    turns = [message("We launch on Tuesday."), message("Understood.", "assistant")]
    compacted = post(server, "/compact", input=turns, prompt_cache_key="openresponses-compact-test").json()
    assert faults(compacted, "CompactResource") == []
    assert "compaction" in {item["type"] for item in compacted["output"]}
    unnamed = httpx.post(f"{server.url}/v1/responses/compact", json={"input": turns}, timeout=PATIENCE)
    assert unnamed.status_code == 400


@pytest.fixture
def socket(server: Server) -> Iterator[Connection]:
    with connect(f"{server.url.replace('http', 'ws')}/v1/responses") as socket:
        yield socket


another_socket = socket


def turn(socket: Connection, asked: object, previous: str | None = None) -> Json:
    """Return the last event of a response that is not stored, all of whose events are as the schemas want them."""
    body = {"type": "response.create", "model": "complies", "store": False, "input": asked}
    socket.send(json.dumps(body | {"previous_response_id": previous}))
    while True:
        event: Json = json.loads(socket.recv(PATIENCE))
        SERVER_EVENT.validate_python(event, strict=True)
        assert faults(event, "WebSocketErrorEvent" if event["type"] == "error" else SCHEMAS[event["type"]]) == []
        if event["type"] in {"error", "response.completed", "response.failed"}:
            return event


def respond(socket: Connection, asked: object, previous: str | None = None) -> str:
    """Return the id of a completed response."""
    event = turn(socket, asked, previous)
    assert event["type"] == "response.completed", event
    return str(event["response"]["id"])


def code_of(event: Json) -> object:
    assert (event["type"], event["status"]) == ("error", 400), event
    return event["error"]["code"]


def test_websocket_response_and_sequential_responses_and_continuation(socket: Connection) -> None:
    first, second, third = (respond(socket, asked) for asked in ([message("Count to 3.")], "Say first", "Say second"))
    assert len({first, second, third, respond(socket, "Go on.", third)}) == 4


def test_websocket_reconnect_store_false_recovery_and_previous_response_not_found(
    socket: Connection, another_socket: Connection
) -> None:
    for missing in (respond(socket, "Remember the code word: copper."), "resp_missing"):
        assert code_of(turn(another_socket, "Try to go on.", missing)) == "previous_response_not_found"
    assert respond(another_socket, [message("Start anew.")])


def test_websocket_failed_continuation_evicts_cache(socket: Connection) -> None:
    made = respond(socket, "Remember the code word: ember.")
    output = {"type": "function_call_output", "call_id": "call_missing", "output": "Nothing called it."}
    assert isinstance(code_of(turn(socket, [output], made)), str)
    assert code_of(turn(socket, "Try to go on.", made)) == "previous_response_not_found"


def test_websocket_compact_new_chain(server: Server, socket: Connection) -> None:
    compacted = post(server, "/compact", input=[message("Remember: slate."), message("OK.", "assistant")]).json()
    assert respond(socket, [*compacted["output"], message("Go on.")])
