"""Two servers: a client asks `chat` of one of them, whose upstream is the other."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import APIError, InternalServerError, NotFoundError, OpenAI, RateLimitError
from openai.types.chat import ChatCompletionMessageParam

from tests.template.e2e.clients import client_of, says
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.failing import SECRET
from tests.template.e2e.patience import PATIENCE, eventually
from tests.template.e2e.server import Server
from tests.template.e2e.sse import chunks_of, deltas_of, frames_of

PROXYING = "tests.template.e2e.proxying:create_app"
FAILED = {"message": "The upstream model failed.", "type": "server_error", "param": None, "code": "upstream_error"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
QUESTION = "What is the weather in Paris?"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
SCHEMA = {"type": "object", "properties": {"town": {"type": "string"}, "degrees": {"type": "number"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": SCHEMA}}
PARAMETERS: dict[str, Any] = {
    "temperature": 0.25,
    "top_p": 0.5,
    "max_tokens": 7,
    "max_completion_tokens": 8,
    "stop": ["\n", "END"],
    "seed": None,
    "logit_bias": {"42": -100},
    "user": "somebody",
    "metadata": {"from": "a test"},
    "response_format": FORMAT,
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    "parallel_tool_calls": False,
    "brand_new": {"deeply": [{"nested": None}], "über": 1},
}
ERRORS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"message": "Too long", "status": 400, "code": "context_length_exceeded", "param": "messages"},
        {"type": "invalid_request_error", "code": "context_length_exceeded", "param": "messages"},
    ),
    ({"message": "Too big", "status": 413}, {"type": "invalid_request_error", "code": None, "param": None}),
    ({"message": "No", "status": 422}, {"type": "invalid_request_error", "code": None, "param": None}),
]

each_mode = pytest.mark.parametrize("stream", [False, True])
each_generator = pytest.mark.parametrize("model", ["endless-async-generator", "endless-generator"])


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with all models, ours and those of the tests."""
    with Server(tmp_path_factory.mktemp("upstream") / "log", app=PROXYING) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(upstream: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose model `chat/NAME` is the model `NAME` of the upstream, and `chat` is `echo-stream`."""
    settings = {"OPENAI_BASE_URL": f"{upstream.url}/v1", "OPENAI_MODEL": "echo-stream", "OPENAI_API_KEY": "sk-123"}
    with Server(tmp_path_factory.mktemp("proxy") / "log", app=PROXYING, settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(proxy: Server) -> Iterator[OpenAI]:
    with client_of(proxy) as client:
        yield client


@pytest.fixture(scope="module")
def http(proxy: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.url, timeout=PATIENCE) as client:
        yield client


def ask(http: httpx.Client, model: str, content: str = "Hello!", **fields: Any) -> httpx.Response:
    return http.post("/v1/chat/completions", json=chat(model, content, **fields))


def test_chat_is_offered_when_its_upstream_is_named(proxy: Server, shipped: Server) -> None:
    assert "chat" in {model["id"] for model in proxy.models()}
    assert "chat" not in {model["id"] for model in shipped.models()}


def test_chat_is_not_found_where_it_is_not_offered(shipped_client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as caught:
        shipped_client.chat.completions.create(model="chat", messages=says("Hello!"))

    assert caught.value.code == "model_not_found"
    assert "echo-stream" in caught.value.message.partition("Available: ")[2]
    assert "chat" not in caught.value.message.partition("Available: ")[2]


def test_an_answer_comes_through_whole(client: OpenAI) -> None:
    completion = client.chat.completions.create(model="chat", messages=says("one two three"))

    assert (completion.model, completion.choices[0].finish_reason) == ("chat", "stop")
    assert completion.choices[0].message.content == "one two three"
    assert completion.usage is not None
    assert {name: getattr(completion.usage, name) for name in USAGE} == USAGE


def test_an_answer_comes_through_chunk_by_chunk(http: httpx.Client) -> None:
    response = ask(http, "chat", "one two three", stream=True)

    texts = [delta["content"] for delta in deltas_of(response) if delta]
    assert texts == ["", "one", " two", " three"]
    assert {chunk["model"] for chunk in chunks_of(response)} == {"chat"}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks_of(response)] == [None] * 4 + ["stop"]


def test_usage_is_streamed_if_it_is_asked_for(http: httpx.Client) -> None:
    *chunks, last = chunks_of(ask(http, "chat", "one two three", stream=True, stream_options={"include_usage": True}))

    assert [chunk["usage"] for chunk in chunks] == [None] * len(chunks)
    assert last["choices"] == []
    assert USAGE.items() <= last["usage"].items()


@pytest.mark.parametrize("fields", [{}, {"stream_options": {"include_usage": False}}])
def test_usage_is_not_streamed_unless_it_is_asked_for(http: httpx.Client, fields: dict[str, Any]) -> None:
    assert not [chunk for chunk in chunks_of(ask(http, "chat", stream=True, **fields)) if "usage" in chunk]


def test_a_chunk_is_there_before_the_upstream_has_made_the_next(upstream: Server, client: OpenAI, key: str) -> None:
    with client.chat.completions.create(model="chat/gated-async-generator", messages=says(key), stream=True) as stream:
        before = [next(stream).choices[0].delta.content for _ in range(2)]
        upstream.open_gate(key)
        after = [chunk.choices[0].delta.content for chunk in stream]

    assert (before, after) == (["", "first"], [" second", None])


@each_mode
@pytest.mark.parametrize("model", ["function", "async-generator", "organisation/model"])
def test_any_model_comes_through_in_both_modes(http: httpx.Client, model: str, stream: bool) -> None:
    response = ask(http, f"chat/{model}", stream=stream)

    texts = [delta.get("content", "") for delta in deltas_of(response)] if stream else [content_of(response)]
    assert "".join(texts) == "Hello, world"


def content_of(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


@each_mode
def test_the_upstream_gets_every_field_as_it_was_sent(http: httpx.Client, stream: bool) -> None:
    fields = PARAMETERS | ({"stream_options": {"include_usage": False}} if stream else {})

    response = ask(http, "chat/request", stream=stream, **fields)

    text = "".join(delta.get("content", "") for delta in deltas_of(response)) if stream else content_of(response)
    body = json.loads(text)["body"]
    assert body == {"n": 1, **chat("request", "Hello!", stream=stream), **fields}


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello!"}],
        [{"role": "user", "content": "☃"}, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "\n"}],
        [
            {"role": "user", "content": "Paris?"},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "call_a", "type": "function", "function": {"name": "get_weather", "arguments": '{"x": 1}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_a", "content": "Rain."},
        ],
    ],
)  # fmt: skip
def test_the_upstream_gets_the_conversation(http: httpx.Client, messages: list[dict[str, Any]]) -> None:
    response = ask(http, "chat/request", messages=messages)

    assert json.loads(content_of(response))["messages"] == messages


def test_structured_output_comes_through(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model="chat/weather",
        messages=says("Paris?"),
        extra_body={"response_format": FORMAT},
    )

    assert json.loads(completion.choices[0].message.content or "") == {"town": "Paris", "degrees": 21}


@each_mode
def test_a_tool_is_asked_for_and_its_result_used(client: OpenAI, stream: bool) -> None:
    first = said_by(client, "chat/tools", says(QUESTION), stream=stream)

    assert first["finish_reason"] == "tool_calls"
    assert not first["message"]["content"]
    (call,) = first["message"]["tool_calls"]
    assert call["id"].startswith("call_")
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    assert json.loads(call["function"]["arguments"]) == {"city": QUESTION}

    asked: Any = {"role": "assistant", "tool_calls": [{name: call[name] for name in ("id", "type", "function")}]}
    result: Any = {"role": "tool", "tool_call_id": call["id"], "content": "Rain."}
    second = said_by(client, "chat/tools", [*says(QUESTION), asked, result], stream=stream)

    assert (second["finish_reason"], second["message"]["content"]) == ("stop", "The tool says: Rain.")


def said_by(client: OpenAI, model: str, messages: list[ChatCompletionMessageParam], *, stream: bool) -> dict[str, Any]:
    """The answer as OpenAI's client reads it, or adds it up."""
    tools: Any = [TOOL]
    if stream:
        with client.chat.completions.stream(model=model, messages=messages, tools=tools) as events:
            completion: Any = events.get_final_completion()
    else:
        completion = client.chat.completions.create(model=model, messages=messages, tools=tools)
    answer: dict[str, Any] = completion.choices[0].to_dict()
    return answer


@each_mode
def test_parallel_calls_come_through(http: httpx.Client, stream: bool) -> None:
    response = ask(http, "chat/two-calls", stream=stream)

    if stream:
        calls = [call for delta in deltas_of(response) for call in delta.get("tool_calls", [])]
        arguments = ["".join(call["function"]["arguments"] for call in calls if call["index"] == i) for i in (0, 1)]
    else:
        calls = response.json()["choices"][0]["message"]["tool_calls"]
        arguments = [call["function"]["arguments"] for call in calls]
    assert [(call["id"], call["function"]["name"]) for call in calls if "id" in call] == [
        ("call_a", "first"),
        ("call_b", "second"),
    ]
    assert [json.loads(text) for text in arguments] == [{"x": 1}, {"x": 1}]


@each_mode
@pytest.mark.parametrize(("wanted", "expected"), ERRORS)
def test_what_is_wrong_with_the_request_reaches_the_client(
    http: httpx.Client, wanted: dict[str, Any], expected: dict[str, Any], stream: bool
) -> None:
    response = ask(http, "chat/refuse-before", json.dumps(wanted), stream=stream)

    assert response.status_code == wanted["status"]
    assert response.json() == {"error": {"message": wanted["message"], **expected}}


@each_mode
def test_a_model_that_the_upstream_does_not_have_is_our_mistake(client: OpenAI, proxy: Server, stream: bool) -> None:
    with pytest.raises(InternalServerError) as caught:
        client.chat.completions.create(model="chat/none", messages=says("Hello!"), stream=stream)

    assert (caught.value.status_code, caught.value.body) == (502, FAILED)
    proxy.wait_for_log("The model 'none' does not exist")


@each_mode
def test_a_rate_limit_says_how_long_to_wait(client: OpenAI, stream: bool) -> None:
    wanted = {"message": SECRET, "status": 429, "headers": {"retry-after": "7"}}

    with pytest.raises(RateLimitError) as caught:
        client.chat.completions.create(model="chat/refuse", messages=says(json.dumps(wanted)), stream=stream)

    assert caught.value.response.headers["retry-after"] == "7"
    assert (caught.value.type, caught.value.code) == ("rate_limit_error", "rate_limit_exceeded")
    assert SECRET not in caught.value.response.text


@each_mode
@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_a_failure_of_the_upstream_is_a_bad_gateway_that_repeats_nothing(
    http: httpx.Client, status: int, stream: bool
) -> None:
    response = ask(http, "chat/refuse", json.dumps({"message": SECRET, "status": status}), stream=stream)

    assert (response.status_code, response.json()) == (502, {"error": FAILED})


@each_mode
def test_a_crash_of_the_upstream_is_a_bad_gateway(http: httpx.Client, stream: bool) -> None:
    response = ask(http, "chat/crash", stream=stream)

    assert (response.status_code, response.json()) == (502, {"error": FAILED})


@pytest.mark.parametrize("model", ["crash-after", "refuse-after"])
def test_an_error_in_mid_stream_comes_once_after_what_was_there(http: httpx.Client, model: str) -> None:
    content = json.dumps({"message": SECRET, "status": 500})

    *chunks, error, done = frames_of(ask(http, f"chat/{model}", content, stream=True))

    assert [json.loads(chunk)["choices"][0]["delta"]["content"] for chunk in chunks] == ["", "one", " two"]
    assert [json.loads(chunk)["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 3
    assert json.loads(error) == {"error": FAILED}
    assert done == "[DONE]"


def test_openai_s_client_raises_an_error_in_mid_stream(client: OpenAI) -> None:
    with (
        client.chat.completions.stream(model="chat/crash-after", messages=says("Hello!")) as stream,
        pytest.raises(APIError, match="The upstream model failed"),
    ):
        stream.until_done()


def test_an_upstream_that_is_not_there_is_a_bad_gateway_and_all_else_goes_on(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        settings = {"OPENAI_BASE_URL": f"http://127.0.0.1:{unused.getsockname()[1]}/v1", "OPENAI_MODEL": "echo"}
        with Server(tmp_path / "log", settings=settings) as server, client_of(server) as client:
            for stream in (False, True):
                with pytest.raises(InternalServerError) as caught:
                    client.chat.completions.create(model="chat", messages=says("Hello!"), stream=stream)
                assert (caught.value.status_code, caught.value.body) == (502, FAILED)

            echo = client.chat.completions.create(model="echo", messages=says("Hello!"))

    assert echo.choices[0].message.content == "Hello!"


@each_generator
def test_the_upstream_stops_when_the_client_of_a_stream_leaves(
    upstream: Server, proxy: Server, client: OpenAI, key: str, model: str
) -> None:
    ask_once(client)
    idle = tasks_of(proxy)

    with client.chat.completions.create(model=f"chat/{model}", messages=says(key), stream=True) as stream:
        assert [next(stream).choices[0].delta.content for _ in range(3)] == ["", "more ", "more "]

    assert upstream.wait_for(key, "closed") == ["started", "closed"]
    eventually(lambda: tasks_of(proxy), lambda tasks: tasks == idle)


@each_generator
def test_the_upstream_stops_when_the_client_leaves_that_waits_for_the_whole(
    upstream: Server, proxy: Server, client: OpenAI, key: str, model: str
) -> None:
    ask_once(client)
    idle = tasks_of(proxy)

    with Connection(proxy.port) as connection:
        connection.post(chat(f"chat/{model}", key))
        upstream.wait_for(key, "started")

    assert upstream.wait_for(key, "closed") == ["started", "closed"]
    eventually(lambda: tasks_of(proxy), lambda tasks: tasks == idle)


def ask_once(client: OpenAI) -> None:
    """Have the model made."""
    client.chat.completions.create(model="chat", messages=says("Hello!"))


def tasks_of(server: Server) -> dict[str, int]:
    return server.census().tasks


def test_many_at_once_each_get_their_own_answer(client: OpenAI) -> None:
    prompts = [f"number {number} of many" for number in range(40)]

    def answer(prompt: str) -> str:
        stream = client.chat.completions.create(model="chat", messages=says(prompt), stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    with ThreadPoolExecutor(len(prompts)) as threads:
        assert list(threads.map(answer, prompts)) == prompts


@pytest.mark.anyio
async def test_the_async_client_gets_its_answer(proxy: Server) -> None:
    async with openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="none", max_retries=0) as client:
        completion = await client.chat.completions.create(model="chat", messages=says("one two"))

    assert completion.choices[0].message.content == "one two"
