"""The OpenAPI document: each path, request, answer and error, in the words of this API."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from litestar import get
from litestar.cli.main import litestar_group
from litestar.testing import TestClient

from app.app import create_app
from app.settings import Settings
from controllers.openai import OpenAIController
from schemas.chat import ChatCompletionRequest, Json, Request
from schemas.embeddings import EmbeddingRequest
from schemas.responses import ResponseRequest
from tests.conftest import Client

REQUESTS: dict[str, tuple[type[Request], list[str]]] = {
    "/chat/completions": (ChatCompletionRequest, ["model", "messages"]),
    "/responses": (ResponseRequest, ["model"]),
}
KEPT = {"200", "400", "401", "404", "429", "431", "500", "503"}
COMPLETION = KEPT | {"403", "413", "415", "504"}
STATUSES = {
    ("get", "/models"): {"200", "400", "401", "429", "431", "500"},
    ("get", "/models/{model_id}"): {"200", "400", "401", "404", "429", "431", "500"},
    ("post", "/chat/completions"): COMPLETION,
    ("post", "/embeddings"): COMPLETION,
    ("post", "/responses"): COMPLETION,
    ("post", "/responses/compact"): COMPLETION,
    ("post", "/responses/input_tokens"): COMPLETION,
    ("post", "/responses/{response_id}/cancel"): KEPT,
    ("get", "/responses/{response_id}"): KEPT,
    ("delete", "/responses/{response_id}"): KEPT,
    ("get", "/responses/{response_id}/input_items"): KEPT,
}
PROBES = {("get", "/health"), ("get", "/ready")}


class Mine(OpenAIController):
    """A controller of a user, beside the one of the project."""

    path = "/mine"
    tags = ("mine",)

    @get(["/v1/things", "/v2/things"], sync_to_thread=False)
    def things(self) -> list[str]:
        """List the things."""
        return []


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    app = create_app(settings=Settings())
    app.register(Mine)
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="module")
def whole(client: Client) -> Json:
    response = client.get("/schema/openapi.json")
    assert response.status_code == 200
    document: Json = response.json()
    return document


@pytest.fixture(scope="module")
def operations(whole: Json) -> dict[tuple[str, str], Json]:
    """The operations of the project by method and path."""
    paths = {path: methods for path, methods in whole["paths"].items() if not path.startswith("/mine")}
    return {(method, path): operation for path, methods in paths.items() for method, operation in methods.items()}


def resolved(document: Json, schema: Json) -> Json:
    """Return a schema, or the one it refers to."""
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Json = document["components"]["schemas"][name] if name else schema
    return found


def test_the_document_is_the_same_at_each_start(whole: Json) -> None:
    app = create_app(settings=Settings())
    app.register(Mine)
    with TestClient(app) as another:
        assert another.get("/schema/openapi.json").json() == whole


def test_each_operation_is_documented_with_an_id_a_summary_and_a_tag(operations: dict[tuple[str, str], Json]) -> None:
    assert operations.keys() == PROBES | {(method, f"/v1{path}") for method, path in STATUSES}
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)
    for (_, path), operation in operations.items():
        assert operation["summary"]
        assert not operation["responses"]["200"]["description"].startswith("Request fulfilled")  # Litestar's default
        tag = next((tag for tag in ("responses", "embeddings") if f"/{tag}" in path), "openai")
        tag = "health" if path in ("/health", "/ready") else tag
        assert operation["tags"] == [tag]


def test_a_subclass_of_a_controller_sets_its_own_tags(whole: Json) -> None:
    mine = [methods for path, methods in whole["paths"].items() if path.startswith("/mine")]

    assert len(mine) == 5
    assert {tag for methods in mine for operation in methods.values() for tag in operation["tags"]} == {"mine"}


@pytest.mark.parametrize(("method", "path"), STATUSES)
def test_each_status_is_documented_and_errors_by_the_schema_of_openai(
    whole: Json, operations: dict[tuple[str, str], Json], method: str, path: str
) -> None:
    responses: dict[str, Json] = operations[method, f"/v1{path}"]["responses"]

    assert responses.keys() == STATUSES[method, path]
    for status in responses.keys() - {"200"}:
        body = resolved(whole, responses[status]["content"]["application/json"]["schema"])
        assert resolved(whole, body["properties"]["error"])["properties"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("path", REQUESTS)
def test_a_request_and_both_forms_of_its_answer_are_documented(
    client: Client, whole: Json, operations: dict[tuple[str, str], Json], path: str
) -> None:
    kind, required = REQUESTS[path]
    operation = operations["post", f"/v1{path}"]

    assert operation["requestBody"]["required"] is True
    content = operation["requestBody"]["content"]["application/json"]
    schema = resolved(whole, content["schema"])
    assert schema["required"] == required
    assert set(schema["properties"]) == set(kind.__struct_fields__) - {"extra"}
    (example,) = [example["value"] for example in content["examples"].values()]
    assert client.post(path, json=example).status_code == client.post(f"/v1{path}", json=example).status_code == 200
    answers = operation["responses"]["200"]["content"]
    assert list(answers) == ["application/json", "text/event-stream"]
    assert {"id", "object", "model", "usage"} <= set(
        resolved(whole, answers["application/json"]["schema"])["properties"]
    )


def test_a_request_for_embeddings_and_its_answer_are_documented(
    whole: Json, operations: dict[tuple[str, str], Json]
) -> None:
    operation = operations["post", "/v1/embeddings"]
    schema = resolved(whole, operation["requestBody"]["content"]["application/json"]["schema"])
    answers = operation["responses"]["200"]["content"]

    assert schema["required"] == ["model", "input"]
    assert set(schema["properties"]) == set(EmbeddingRequest.__struct_fields__) - {"extra"}
    assert list(answers) == ["application/json"]
    answer = resolved(whole, answers["application/json"]["schema"])["properties"]
    assert answer.keys() == {"object", "data", "model", "usage"}
    assert resolved(whole, answer["data"]["items"])["properties"].keys() == {"object", "index", "embedding"}


@pytest.mark.parametrize(
    ("answer", "left_out"),
    [
        ("ChatCompletion", {"usage", "service_tier", "system_fingerprint"}),
        ("Choice", set()),
        ("Message", {"reasoning_content", "tool_calls"}),
        ("ModelList", set()),
        ("ErrorObject", set()),
    ],
)
def test_each_field_that_no_answer_lacks_is_required(whole: Json, answer: str, left_out: set[str]) -> None:
    schema = whole["components"]["schemas"][answer]
    assert {*schema["properties"]} - {*schema["required"]} == left_out


def test_no_dependency_of_the_server_is_documented_as_a_parameter(operations: dict[tuple[str, str], Json]) -> None:
    names = {each["name"] for operation in operations.values() for each in operation.get("parameters") or []}

    assert names == {"model_id", "response_id", "limit", "order", "after", "stream", "starting_after"}


@pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")  # `info` warns of itself
@pytest.mark.parametrize(
    ("command", "printed"), [("info", "path=/schema"), ("routes", "/v1/chat/completions"), ("version", "2.")]
)
def test_litestars_other_commands_work(command: str, printed: str) -> None:
    ran = CliRunner().invoke(litestar_group, ["--app", "app.app:create_app", command], catch_exceptions=False)
    assert (ran.exit_code, printed in ran.output) == (0, True)


def test_the_document_is_written_as_json_and_as_typescript(tmp_path: Path, whole: Json) -> None:
    for kind in ("openapi", "typescript"):
        command = ["--app", "app.app:create_app", "schema", kind, "--output", str(tmp_path / kind)]
        assert CliRunner().invoke(litestar_group, command, catch_exceptions=False).exit_code == 0

    written = json.loads((tmp_path / "openapi").read_text())
    assert written["paths"].items() <= whole["paths"].items()
    types = (tmp_path / "typescript").read_text()
    assert 'role: "assistant" | "developer" | "function" | "system" | "tool" | "user";' in types
    assert "stop ? : null | string | string[];" in types
