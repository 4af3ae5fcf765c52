"""OpenAI's routes, with and without `/v1`: models by any name, wrong methods and unknown paths."""

import time

import pytest
from openai.types import Model

from schemas.chat import Json
from tests.conftest import Client, Serve, ask, chunks_of, error_of, message_of, yielding
from tests.factories import UsageFactory
from tests.template.conftest import completion, stream

PREFIXES = pytest.mark.parametrize("prefix", ["/v1", "", "http://testserver.local//v1", "/v1/"])
NAMES = ["test", "a/b", "a/b/c.gguf", "org/model:7b", "with space", "é", "100%", "a?b", "v1/models", "models"]


@pytest.fixture(scope="module")
def client(serve_all: Serve) -> Client:
    return serve_all(dict.fromkeys(NAMES, yielding("Hello!", UsageFactory.build())), owned_by="me")


@PREFIXES
def test_models_are_listed_and_retrieved_with_any_prefix_and_name(client: Client, prefix: str) -> None:
    body = client.get(f"{prefix}/models").json()

    assert list(body) == ["object", "data"]
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == NAMES
    for model in body["data"]:
        assert list(model) == ["id", "object", "created", "owned_by"]
        assert (model["object"], model["owned_by"]) == ("model", "me")
        Model.model_validate(model, strict=True)
        quoted = model["id"].replace("%", "%25").replace("?", "%3F")
        assert client.get(f"{prefix}/models/{quoted}").json() == model
        assert ask(client, model=model["id"]).json()["model"] == model["id"]
    assert client.get(f"{prefix}/models/a%2Fb").json()["id"] == "a/b"


def test_the_created_time_of_a_model_does_not_change(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    before = client.get("/v1/models").json()
    monkeypatch.setattr(time, "time", lambda: 0.0)

    assert client.get("/v1/models").json() == before


@pytest.mark.parametrize("name", ["a", "a/b/c", "TEST"])
def test_part_of_a_name_or_another_case_is_an_unknown_model(client: Client, name: str) -> None:
    for response in (client.get(f"/v1/models/{name}"), ask(client, model=name)):
        error = error_of(response)
        assert (response.status_code, error["param"], error["code"]) == (404, "model", "model_not_found")
        assert all(known in error["message"] for known in NAMES)


@PREFIXES
def test_a_completion_has_status_200_with_any_prefix(client: Client, prefix: str) -> None:
    body: Json = {"model": "test", "messages": [{"role": "user", "content": "Hello!"}]}

    whole = client.post(f"{prefix}/chat/completions", json=body)
    streamed = client.post(f"{prefix}/chat/completions", json=body | {"stream": True})

    assert message_of(whole)["content"] == "Hello!"  # whose status is 200
    assert whole.headers["content-type"] == "application/json"
    assert whole.json() == completion("Hello!") | {"usage": whole.json()["usage"]}
    assert chunks_of(streamed) == stream({"content": "Hello!"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/v1", "/v1/", "/v1/chat", "/v2/models", "/%00", "/%ff")),
        *(("GET", f"/schema/{path}") for path in ("nothing", "nothing.json", "nothing/at/all")),
        ("POST", "/v1/completions"),
        ("DELETE", "/nope"),
        ("GET", "/" + "x" * 5000),
    ],
)
def test_an_unknown_path_is_a_404(client: Client, method: str, path: str) -> None:
    response = client.request(method, path)

    error = error_of(response)
    assert response.status_code == 404
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, "not_found")
    assert "x" * 200 not in error["message"]


@pytest.mark.parametrize("prefix", ["/v1", ""])
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/chat/completions", "POST"),
        ("PUT", "/chat/completions", "POST"),
        ("POST", "/models", "GET"),
        ("DELETE", "/models/test", "GET"),
        ("PATCH", "/models/a/b", "GET"),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_one(
    client: Client, prefix: str, method: str, path: str, allowed: str
) -> None:
    response = client.request(method, prefix + path)

    error = error_of(response)
    assert response.status_code == 405
    assert allowed in response.headers["allow"].split(", ")
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, "method_not_allowed")
