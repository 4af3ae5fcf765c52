"""What the API's documentation says."""

from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from app.app import create_app
from app.settings import Settings
from controllers.openai import OpenAIController
from schemas.chat import ChatCompletionRequest, Json, Request
from schemas.responses import ResponseRequest

COMPLETIONS = ["/v1/chat/completions", "/chat/completions"]
RESPONSES = ["/v1/responses", "/responses"]
REQUESTS: list[tuple[str, type[Request]]] = [
    *((path, ChatCompletionRequest) for path in COMPLETIONS),
    *((path, ResponseRequest) for path in RESPONSES),
]
REQUIRED = {ChatCompletionRequest: ["model", "messages"], ResponseRequest: ["model"]}


@pytest.fixture(scope="module")
def document() -> Json:
    return document_of(OpenAIController)


def document_of(controller: type[OpenAIController]) -> Json:
    app = create_app(settings=Settings())
    if controller is not OpenAIController:
        app.register(controller)
    with TestClient(app) as client:
        response = client.get("/schema/openapi.json")
    assert response.status_code == 200
    document: Json = response.json()
    return document


def test_the_document_is_the_same_at_each_start(document: Json) -> None:
    assert document_of(OpenAIController) == document


def operations(document: Json) -> Iterator[Json]:
    for path in document["paths"].values():
        yield from path.values()


def resolved(document: Json, schema: Json) -> Json:
    """A schema, wherever it stands."""
    name = schema.get("$ref", "").rpartition("/")[2]
    part: Json = document["components"]["schemas"][name] if name else schema
    return part


def test_every_path_is_documented(document: Json) -> None:
    assert {path: sorted(methods) for path, methods in document["paths"].items()} == {
        "/v1/models": ["get"],
        "/models": ["get"],
        "/v1/models/{model_id}": ["get"],
        "/models/{model_id}": ["get"],
        "/v1/chat/completions": ["post"],
        "/chat/completions": ["post"],
        "/v1/responses": ["post"],
        "/responses": ["post"],
        "/v1/responses/{response_id}": ["delete", "get"],
        "/responses/{response_id}": ["delete", "get"],
        "/v1/responses/{response_id}/input_items": ["get"],
        "/responses/{response_id}/input_items": ["get"],
        "/health": ["get"],
        "/ready": ["get"],
    }


def test_every_operation_has_an_id_of_its_own_and_a_summary(document: Json) -> None:
    ids = [operation["operationId"] for operation in operations(document)]

    assert len(set(ids)) == len(ids) == 16
    assert all(operation["summary"] for operation in operations(document))


def test_every_answer_is_described_in_words_of_its_own(document: Json) -> None:
    described = [operation["responses"]["200"]["description"] for operation in operations(document)]

    assert not [each for each in described if each.startswith("Request fulfilled")]  # as Litestar says of all


def test_every_operation_is_tagged(document: Json) -> None:
    tags = {tuple(operation["tags"]) for operation in operations(document)}
    assert tags == {("openai",), ("responses",), ("health",)}


def test_a_subclass_sets_its_own_tags() -> None:
    class Mine(OpenAIController):
        path = "/mine"
        tags = ("mine",)

    document = document_of(Mine)

    for path, methods in document["paths"].items():
        tags = {tuple(operation["tags"]) for operation in methods.values()}
        assert (tags == {("mine",)}) == path.startswith("/mine")


@pytest.mark.parametrize(("path", "kind"), REQUESTS)
def test_the_request_is_documented_with_all_its_parameters(document: Json, path: str, kind: type[Request]) -> None:
    body = document["paths"][path]["post"]["requestBody"]

    schema = resolved(document, body["content"]["application/json"]["schema"])
    assert body["required"] is True
    assert schema["required"] == REQUIRED[kind]
    assert set(schema["properties"]) == set(kind.__struct_fields__)


@pytest.mark.parametrize(("path", "kind"), REQUESTS)
def test_the_example_of_the_request_is_valid(document: Json, path: str, kind: type[Request]) -> None:
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]

    (example,) = [example["value"] for example in content["examples"].values()]
    assert kind.from_body(example).to_body() == example
    with TestClient(create_app(settings=Settings())) as client:
        assert client.post(path, json=example).status_code == 200


@pytest.mark.parametrize("path", COMPLETIONS)
def test_both_media_types_of_the_answer_are_documented(document: Json, path: str) -> None:
    content: Json = document["paths"][path]["post"]["responses"]["200"]["content"]

    assert list(content) == ["application/json", "text/event-stream"]
    schema = resolved(document, content["application/json"]["schema"])
    assert {"id", "object", "created", "model", "choices", "usage"} <= set(schema["properties"])


STATUSES = {
    "/models": {"200", "400", "401", "429", "431", "500"},
    "/models/{model_id}": {"200", "400", "401", "404", "429", "431", "500"},
    "/responses/{response_id}/input_items": {"200", "400", "401", "404", "429", "431", "500", "503"},
    "/responses": {"200", "400", "401", "404", "413", "415", "429", "431", "500", "503", "504"},
    "/chat/completions": {"200", "400", "401", "404", "413", "415", "429", "431", "500", "503", "504"},
}


@pytest.mark.parametrize("prefix", ["/v1", ""])
@pytest.mark.parametrize("path", STATUSES)
def test_every_status_is_documented_and_errors_in_the_form_of_openai(document: Json, prefix: str, path: str) -> None:
    (operation,) = document["paths"][prefix + path].values()

    responses: dict[str, Any] = operation["responses"]
    assert responses.keys() == STATUSES[path]
    for response in [responses[status] for status in responses.keys() - {"200"}]:
        error = resolved(document, resolved(document, response["content"]["application/json"]["schema"]))
        assert set(resolved(document, error["properties"]["error"])["properties"]) == {
            "message",
            "type",
            "param",
            "code",
        }


def test_nothing_of_the_server_is_a_parameter(document: Json) -> None:
    parameters = [each["name"] for operation in operations(document) for each in operation.get("parameters") or []]

    assert set(parameters) == {"model_id", "response_id", "limit", "order", "after"}
