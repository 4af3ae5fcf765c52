"""Errors: what each says on the wire."""

import logging
from typing import Any

import msgspec
import pytest
from litestar.exceptions import HTTPException, InternalServerException, NotFoundException, ValidationException

from app.errors import (
    ClientDisconnectedError,
    CompletionError,
    CompletionTimeoutError,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
    to_completion_error,
)
from schemas.chat import Json
from tests.conftest import SERVER_ERROR, Client, Serve, error_of, returning


def on_the_wire(error: CompletionError) -> Json:
    fields: Json = msgspec.to_builtins(error.to_response())["error"]
    return fields


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (CompletionError("A."), 500, ("A.", "server_error", None, None)),
        (CompletionError("A.", status=400), 400, ("A.", "invalid_request_error", None, None)),
        (CompletionError("A.", status=429), 429, ("A.", "rate_limit_error", None, None)),
        (CompletionError("A.", type="b", code="c", param="d"), 500, ("A.", "b", "d", "c")),
        (InvalidRequestError("A.", param="n"), 400, ("A.", "invalid_request_error", "n", None)),
        (
            InvalidRequestError("A.", status=415),
            415,
            ("A.", "invalid_request_error", None, "unsupported_media_type"),
        ),
        (
            ModelNotFoundError("x", known=["b", "a"]),
            404,
            ("The model 'x' does not exist. Available: a, b.", "invalid_request_error", "model", "model_not_found"),
        ),
        (
            ModelNotFoundError("x", known=[]),
            404,
            ("The model 'x' does not exist. Available: none.", "invalid_request_error", "model", "model_not_found"),
        ),
        (
            OverloadedError(),
            503,
            ("The server is overloaded. Try again in a moment.", "server_error", None, "overloaded"),
        ),
        (
            CompletionTimeoutError(1.5),
            504,
            ("The completion took longer than 1.5 s.", "server_error", None, "timeout"),
        ),
        (
            ClientDisconnectedError(),
            499,
            ("The client has closed the connection.", "invalid_request_error", None, None),
        ),
    ],
)  # fmt: skip
def test_an_error_has_a_status_and_all_four_keys(
    error: CompletionError, status: int, expected: tuple[str, str, str | None, str | None]
) -> None:
    assert error.status == status
    assert on_the_wire(error) == dict(zip(("message", "type", "param", "code"), expected, strict=True))
    assert str(error) == expected[0]


@pytest.mark.parametrize(
    ("error", "type", "code"),
    [
        (HTTPException("A.", status_code=401), "invalid_request_error", "invalid_api_key"),
        (NotFoundException("A."), "invalid_request_error", "not_found"),
        (HTTPException("A.", status_code=409), "invalid_request_error", None),
        (HTTPException("A.", status_code=429), "rate_limit_error", "rate_limit_exceeded"),
        (ValidationException("A."), "invalid_request_error", None),
        (InternalServerException("A."), "server_error", None),
        (HTTPException("A.", status_code=503), "server_error", "overloaded"),
    ],
)
def test_an_http_exception_keeps_its_status_and_detail(error: HTTPException, type: str, code: str | None) -> None:
    found = to_completion_error(error)

    assert found.status == error.status_code
    assert on_the_wire(found) == {"message": "A.", "type": type, "param": None, "code": code}


@pytest.mark.parametrize(
    "error", [ValueError("secret"), KeyboardInterrupt("secret"), ExceptionGroup("secret", [OSError()])]
)
def test_any_other_exception_is_logged_and_reveals_nothing(
    caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    found = to_completion_error(error)

    assert found.status == 500
    assert on_the_wire(found) == {"message": SERVER_ERROR, "type": "server_error", "param": None, "code": None}
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_an_error_meant_for_the_client_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    error = CompletionError("Too rude.", status=400)

    assert to_completion_error(error) is error
    assert not caplog.records


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequestError("x" * 1000, param="x" * 1000),
        ModelNotFoundError("x" * 1000, known=["a"]),
    ],
    ids=["invalid", "model"],
)
def test_an_error_repeats_at_most_200_characters_of_the_input(error: CompletionError) -> None:
    assert all("x" * 200 not in str(value) for value in on_the_wire(error).values())


@pytest.fixture(scope="module")
def client(serve_all: Serve) -> Client:
    return serve_all(returning("Hello!"), max_body_size=1000)


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/nope", "/v1/chat", "/v1/completions", "/v2/models", "/%00", "/%ff"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_a_404(client: Client, path: str, method: str) -> None:
    response = client.request(method, path)

    error = error_of(response)
    assert response.status_code == 404
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, "not_found")


def test_an_unknown_path_is_repeated_in_part(client: Client) -> None:
    assert "x" * 200 not in client.get("/" + "x" * 5000).text


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


def pieces(size: int) -> Any:
    """A body without a length, in pieces."""
    yield b'{"model": "'
    for _ in range(size // 100):
        yield b"x" * 100


@pytest.mark.parametrize("content", [b"x" * 1001, b"[" * 100_000, pieces(2000)], ids=["bytes", "deep", "chunked"])
def test_a_body_over_the_limit_is_a_413(client: Client, content: Any) -> None:
    response = client.post("/v1/chat/completions", content=content, headers={"content-type": "application/json"})

    error = error_of(response)
    assert response.status_code == 413
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, "request_too_large")


def test_a_body_at_the_limit_is_taken(client: Client) -> None:
    body = b'{"model": "test", "messages": [{"role": "user"}]}'.ljust(1000)

    assert client.post("/v1/chat/completions", content=body).status_code == 200


def test_an_error_in_listing_the_models_reveals_nothing(serve: Serve) -> None:
    class Broken:
        def complete(self, model: str, messages: Any, body: Any) -> str:
            return ""

        def list_models(self) -> list[str]:
            raise RuntimeError("secret")

    client = serve(Broken())
    body = {"model": "test", "messages": [{"role": "user"}]}
    for response in (
        client.get("/v1/models"),
        client.get("/v1/models/a"),
        client.post("/v1/chat/completions", json=body),
    ):
        assert response.status_code == 500
        assert error_of(response) == {"message": SERVER_ERROR, "type": "server_error", "param": None, "code": None}
