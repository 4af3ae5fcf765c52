"""Registries with the embedder `test`, and requests to it."""

from collections.abc import Callable
from typing import Any

from httpx import Response

from app.registry import Pipelines

ROWS = [[0.5, -1.0], [2.0, 0.25]]


def embedder(function: Callable[..., Any], **options: Any) -> Pipelines:
    """Return a registry with the embedder `test`."""
    models = Pipelines()
    models.embedder("test", **options)(function)
    return models


def embed(client: Any, sent: object = "Hello!", *, path: str = "/v1/embeddings", **fields: object) -> Response:
    response: Response = client.post(path, json={"model": "test", "input": sent, **fields})
    return response


def data_of(response: Response) -> list[Any]:
    assert response.status_code == 200, response.text
    return [each["embedding"] for each in response.json()["data"]]


def returns(result: Any) -> Pipelines:
    return embedder(lambda texts: result)
