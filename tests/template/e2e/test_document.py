"""Requests that Schemathesis makes of the document at `/schema`: each answer is one that the document describes."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from litestar.serialization import decode_json, encode_json
from msgspec.structs import asdict
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
from tests.conftest import PATIENCE, live, yielding

KEY = {"Authorization": "Bearer sk-mine"}
LIMITS = {"API_KEYS": "sk-mine", "REQUESTS_PER_MINUTE": "1000000", "ALLOWED_HOSTS": "127.0.0.1", "MAX_MESSAGES": "5"}
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

app = create_app(settings=Settings.load(LIMITS))
document: Any = schemathesis.openapi.from_dict(decode_json(encode_json(app.openapi_schema.to_schema())))
OPERATIONS = [operation.ok() for operation in document.get_all_operations()]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a server that has all its limits on."""
    with live(yielding("Hello", "!"), **asdict(Settings.load(LIMITS))) as client:
        yield str(client.base_url.join("/"))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.label)
@BOUNDED
@given(data=st.data())
def test_each_answer_is_described(url: str, operation: Any, data: st.DataObject) -> None:
    cases = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]
    case: Any = data.draw(st.one_of(cases))
    if isinstance(case.body, dict) and data.draw(st.booleans(), "of a model that there is"):
        case.body["model"] = "test"
    response = case.call(url, headers=KEY, timeout=PATIENCE)
    (kind,) = response.headers.get("content-type", [""])
    schemas = [] if kind.startswith("text/event-stream") else [response_schema_conformance]  # none describes a stream
    case.validate_response(response, checks=[*CHECKS, *schemas], headers=KEY)
