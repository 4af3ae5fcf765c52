"""Requests that Schemathesis makes of the document at `/schema`: each answer is one that the document tells of."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from litestar.serialization import decode_json, encode_json
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from app.app import create_app
from app.settings import Settings
from tests.template.e2e.patience import PATIENCE
from tests.template.e2e.server import Server

KEY = {"Authorization": "Bearer sk-mine"}
CHECKS: list[Any] = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    unsupported_method,
    ignored_auth,
]
BOUNDED = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


LIMITS = {"API_KEYS": "sk-mine", "REQUESTS_PER_MINUTE": "1000000", "ALLOWED_HOSTS": "127.0.0.1", "MAX_MESSAGES": "5"}

app = create_app(settings=Settings.load(LIMITS))
document: Any = schemathesis.openapi.from_dict(decode_json(encode_json(app.openapi_schema.to_schema())))
OPERATIONS = {operation.ok().label: operation.ok() for operation in document.get_all_operations()}


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has all its limits on."""
    with Server(tmp_path_factory.mktemp("documented") / "log", settings=LIMITS) as running:
        yield running


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
@BOUNDED
@given(data=st.data())
def test_no_answer_is_a_surprise(documented: Server, operation: str, data: st.DataObject) -> None:
    check(documented, data.draw(cases(operation)))


@pytest.mark.parametrize("operation", sorted(label for label in OPERATIONS if label.startswith("POST")))
@BOUNDED
@given(data=st.data())
def test_no_completion_is_a_surprise(documented: Server, operation: str, data: st.DataObject) -> None:
    case = data.draw(cases(operation))
    if isinstance(case.body, dict):
        case.body["model"] = "echo-stream"  # else all models are unknown
    check(documented, case)


def cases(operation: str) -> st.SearchStrategy[Any]:
    """Requests that are as the document says, and others."""
    return st.one_of([OPERATIONS[operation].as_strategy(generation_mode=mode) for mode in GenerationMode])


def check(server: Server, case: Any) -> None:
    """Send a request, and hold its answer to the document."""
    response = case.call(server.url, headers=KEY, timeout=PATIENCE)
    (kind,) = response.headers.get("content-type", [""])
    schemas = [] if kind.startswith("text/event-stream") else [response_schema_conformance]  # none describes a stream
    case.validate_response(response, checks=[*CHECKS, *schemas], headers=KEY)
