"""Pack `embeddings`: requests, embedders and what they return, kinds of models, limits, and clients that leave."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection
from json import dumps, loads
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from httpx import Response

from app.keys import Keys
from app.registry import Pipelines
from app.services import Body
from schemas.chat import Json
from schemas.embeddings import Embeddings, Inputs
from tests.conftest import KEY, PATIENCE, Serve, ask, error_of, given, live, returning
from tests.template.conftest import error_object
from tests.template.packs.embedding import ROWS, data_of, embed, embedder, returns

TOKENS = "The model 'test' takes texts, not tokens: send strings (with LangChain by check_embedding_ctx_length=False)."


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings", "/v1/embeddings/", "/v1//embeddings"])
def test_the_answer_is_openais(serve: Serve, path: str) -> None:
    client = serve(embedder(lambda texts: Embeddings(ROWS, 7)))

    assert embed(client, ["a", "b"], path=path, user="Ann", encoding_format=None, dimensions=None).json() == {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(ROWS)],
        "model": "test",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"input": None}, "input", "Invalid value for 'input': expected `str | array`, got `null`."),
        ({"input": 5}, "input", "Invalid value for 'input': expected `str | array`, got `int`."),
        ({"input": ""}, "input", "Invalid value for 'input': expected `str` of length >= 1."),
        ({"input": []}, "input", "Invalid value for 'input': expected `array` of length >= 1."),
        ({"input": ["a", ""]}, "input[1]", "Invalid value for 'input[1]': expected `str` of length >= 1."),
        ({"input": ["a", 1]}, "input[1]", "Invalid value for 'input[1]': expected `str`, got `int`."),
        ({"input": [[1], "a"]}, "input[1]", "Invalid value for 'input[1]': expected `array`, got `str`."),
        ({"input": [[1], []]}, "input[1]", "Invalid value for 'input[1]': expected `array` of length >= 1."),
        ({"input": [-1]}, "input[0]", "Invalid value for 'input[0]': expected `int` >= 0."),
        ({"input": [1, 2]}, "input", TOKENS),
        ({"input": [[1], [2]]}, "input", TOKENS),
        ({"model": ""}, "model", "Invalid value for 'model': expected `str` of length >= 1."),
        (
            {"encoding_format": "hex"},
            "encoding_format",
            "Invalid value for 'encoding_format': expected `base64 | float`, got 'hex'.",
        ),
        ({"dimensions": 0}, "dimensions", "Invalid value for 'dimensions': expected `int` >= 1."),
        ({"dimensions": 2}, "dimensions", "The vectors of the model 'test' have one length: leave 'dimensions' out."),
        ({"input": ["a"] * 4}, "input", "There are 4 inputs: at most 3 are taken."),
        ({"input": "a" * 11}, "input", "The input at 0 has 11 characters: at most 10 are taken."),
        ({"input": ["a", "a" * 11]}, "input[1]", "The input at 1 has 11 characters: at most 10 are taken."),
        ({"input": [7] * 11}, "input", "The input at 0 has 11 tokens: at most 10 are taken."),
    ],
    ids=str,
)
def test_a_wrong_request_is_a_400_that_names_the_field(serve: Serve, fields: Json, param: str, message: str) -> None:
    client = serve(returns(ROWS[:1]), max_embedding_inputs=3, max_embedding_length=10)

    response = embed(
        client, **{"sent": "Hello!"} | {"sent" if name == "input" else name: fields[name] for name in fields}
    )

    assert (response.status_code, error_of(response)) == (400, error_object(message, param=param))


def test_an_embedder_gets_texts_or_tokens_and_what_it_names_of_the_rest(serve: Serve) -> None:
    seen: list[object] = []

    def named(inputs: Inputs, dimensions: int | None, body: Body, headers: Mapping[str, str], own: int = 1) -> object:
        seen.append((inputs, dimensions, body, headers["x-tag"], "authorization" in headers, own))
        return [[1.0] * (dimensions or 2)] * len(inputs)

    client = serve(embedder(named, takes_tokens=True))
    for sent in ("a", ["a", "b"], [1, 2], [[1], [2, 3]]):
        response = client.post(
            "/v1/embeddings",
            json={"model": "test", "input": sent, "dimensions": 3, "input_type": "query"},
            headers={"x-tag": "t", "authorization": "Bearer secret"},
        )
        assert {len(vector) for vector in data_of(response)} == {3}

    rest = {"model": "test", "dimensions": 3, "input_type": "query"}
    assert seen == [(sent, 3, rest, "t", False, 1) for sent in (["a"], ["a", "b"], [[1, 2]], [[1], [2, 3]])]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ROWS,
        lambda model, messages, body: ROWS,
        lambda texts, *, input_type: ROWS,
        lambda texts, dimensions, /: ROWS,
    ],
    ids=["nothing", "a chat", "a field of the request", "by position"],
)
def test_a_function_of_other_arguments_is_no_embedder(
    serve: Serve, caplog: pytest.LogCaptureFixture, wrong: Callable[..., object]
) -> None:
    expected = "it must take a list of texts, and may take dimensions, body, headers."
    with pytest.raises(TypeError, match=expected):
        embedder(wrong)

    models = Pipelines()
    models.embedder_factory("test", preload=False)(lambda: wrong)
    assert embed(serve(models)).status_code == 500
    assert expected in caplog.text


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_an_embedder_answers_no_chat(serve: Serve, path: str, stream: bool) -> None:
    body = {"model": "test", "messages": [{"role": "user", "content": "a"}], "input": "a", "stream": stream}
    response = serve(returns(ROWS)).post(path, json=body)

    expected = error_object("The model 'test' is for embeddings, not for chat.", param="model")
    assert (response.status_code, error_of(response)) == (400, expected)


def test_a_chat_model_embeds_nothing_and_both_are_listed(serve: Serve) -> None:
    models = returns(ROWS)
    models.add("chat", returning("Hello!"))
    client = serve(models)

    wrong, missing = embed(client, model="chat"), embed(client, model="nope")

    assert (wrong.status_code, error_of(wrong)["message"]) == (400, "The model 'chat' is for chat, not for embeddings.")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "model_not_found")
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["test", "chat"]


@pytest.mark.parametrize("replaced", ["completion_service", "model_service"])
@pytest.mark.parametrize("listed", [["mine"], ["mine", "test"]], ids=", ".join)
def test_only_what_a_service_lists_is_an_embedder_whichever_service_it_is(
    serve: Serve, replaced: str, listed: list[str]
) -> None:
    service = SimpleNamespace(complete=returning("Hello!"), list_models=lambda: listed)
    client = serve(returns(ROWS[:1]), dependencies={replaced: given(service)})

    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == listed
    assert embed(client).status_code == (200 if "test" in listed else 404)
    assert error_of(embed(client, model="mine"))["message"] == "The model 'mine' is not served here."
    error = error_of(embed(client, model="nope"))
    assert error["message"] == f"The model 'nope' does not exist. Available: {', '.join(listed)}."


def test_an_embedder_is_made_by_a_factory_once_and_closed_at_the_end(serve: Serve) -> None:
    steps: list[str] = []

    class Embedder:
        def start(self) -> None:
            steps.append("start")

        def close(self) -> None:
            steps.append("close")

        async def __call__(self, texts: list[str]) -> list[list[float]]:
            return ROWS[: len(texts)]

    models = Pipelines()
    models.embedder_factory("test", batch=2)(lambda: Embedder())
    client = serve(models)
    assert data_of(embed(client)) + data_of(embed(client)) == [ROWS[0], ROWS[0]]
    client.__exit__(None, None, None)
    assert steps == ["start", "close"]


@pytest.mark.parametrize("batch", [0, 8])
def test_sync_code_runs_in_threads_and_async_code_on_the_event_loop(serve: Serve, batch: int) -> None:
    def is_loops() -> float:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return 0.0
        return 1.0

    async def on_the_loop(texts: list[str]) -> list[list[float]]:
        return [[is_loops()]]

    def generator(texts: list[str]) -> Iterator[list[float]]:
        yield [is_loops()]

    kinds: dict[str, Callable[..., Any]] = {
        "async": on_the_loop,
        "function": lambda texts: [[is_loops()]],
        "generator": generator,
    }
    models = Pipelines()
    for name, function in kinds.items():
        models.embedder(name, batch=batch)(function)
    client = serve(models)

    assert {name: data_of(embed(client, model=name))[0][0] for name in kinds} == {
        "async": 1,
        "function": 0,
        "generator": 0,
    }


@pytest.mark.parametrize("is_async", [True, False])
def test_the_embedding_service_is_replaced_by_a_provider(serve: Serve, is_async: bool) -> None:
    def embed_all(model: str, inputs: Inputs, body: Body, headers: Mapping[str, str]) -> object:
        return [[len(each), body["own"], len(headers["host"])] for each in inputs]

    async def embed_async(model: str, inputs: Inputs, body: Body, headers: Mapping[str, str]) -> object:
        return embed_all(model, inputs, body, headers)

    service = SimpleNamespace(embed=embed_async if is_async else embed_all)
    client = serve({"test": returning("")}, dependencies={"embedding_service": given(service)})

    assert data_of(embed(client, ["a", "abc"], own=7)) == [[1, 7, 16], [3, 7, 16]]


def test_keys_rates_concurrency_and_time_limit_embeddings_too(serve: Serve) -> None:
    async def slow(texts: list[str]) -> object:
        return await asyncio.Event().wait()

    assert embed(serve(returns(ROWS), api_keys=Keys.parse(KEY))).status_code == 401
    limited = serve(returns(ROWS[:1]), requests_per_minute=1)
    assert [embed(limited).status_code for _ in range(2)] == [200, 429]
    timeout = embed(serve(embedder(slow), completion_timeout=0.05))
    assert (timeout.status_code, error_of(timeout)["code"]) == (504, "timeout")


def test_an_embedding_counts_among_the_concurrent_completions(serve: Serve) -> None:
    entered, opened = Event(), Event()

    def gate(texts: list[str]) -> object:
        entered.set()
        return ROWS[:1] if opened.wait(PATIENCE) else None

    models = embedder(gate)
    models.add("chat", returning("Hello!"))
    client = serve(models, max_concurrent_completions=1)
    held: list[Response] = []
    thread = threading.Thread(target=lambda: held.append(embed(client)))
    thread.start()
    assert entered.wait(PATIENCE)
    refused = [embed(client), ask(client, model="chat")]
    opened.set()
    thread.join(PATIENCE)
    assert [response.status_code for response in (*refused, *held)] == [503, 503, 200]


@pytest.mark.parametrize("kind", ["async", "generator"])
def test_a_client_that_leaves_stops_its_embedder(kind: str) -> None:
    started, ended = Event(), Event()

    async def endless(texts: list[str]) -> object:
        started.set()
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    def generator(texts: list[str]) -> Iterator[list[float]]:
        try:
            while not ended.wait(0.01):
                started.set()
                yield [1.0]
        finally:
            ended.set()

    models = embedder(endless if kind == "async" else generator)
    with live(models) as openai, closing(HTTPConnection(openai.base_url.host, openai.base_url.port)) as left:
        body = dumps({"model": "test", "input": "a"})
        left.request("POST", "/v1/embeddings", body, {"content-type": "application/json"})
        assert started.wait(PATIENCE)
        left.close()
        assert ended.wait(PATIENCE)


def test_the_tokens_are_in_the_log_and_in_the_metrics(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")
    models = Pipelines()
    models.embedder("counted")(lambda texts: Embeddings(ROWS, [3, 4]))
    client = serve(models, metrics=True, log_format="json")
    embed(client, ["a", "b"], model="counted")

    line = loads(capsys.readouterr().err)
    expected = {"model": "counted", "ended": "done", "usage": {"prompt_tokens": 7, "completion_tokens": 0}}
    assert line.items() >= expected.items()
    assert "completion" not in line
    figures = client.get("/metrics").text.splitlines()
    assert 'completions_total{ended="done",model="counted"} 1.0' in figures
    assert 'completion_tokens_total{kind="prompt",model="counted"} 7.0' in figures
