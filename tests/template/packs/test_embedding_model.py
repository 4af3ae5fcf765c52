"""Pack `embeddings`: the model `wordllama`, whose vectors its package ships."""

from math import sqrt
from typing import Any

import pytest

from app.embeddings.models import models
from app.embeddings.static import is_installed
from tests.conftest import Client, Serve, error_of
from tests.template.packs.embedding import embed

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs the extra `embeddings`")


@pytest.fixture(scope="module")
def client(serve_all: Serve) -> Client:
    return serve_all(models)


def vectors(client: Client, *texts: str, **fields: Any) -> list[list[float]]:
    response = embed(client, [*texts], model="wordllama", **fields)
    assert response.status_code == 200, response.text
    return [each["embedding"] for each in response.json()["data"]]


def similarity(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("dimensions", [None, 64, 256])
def test_texts_of_one_meaning_are_near_and_all_vectors_have_the_length_1(
    client: Client, dimensions: int | None
) -> None:
    texts = ("I lost my password", "How do I reset my login credentials?", "The weather is fine", " ")
    asked, near, far, blank = vectors(client, *texts, dimensions=dimensions)

    assert {len(vector) for vector in (asked, near, far, blank)} == {dimensions or 256}
    assert [sqrt(similarity(vector, vector)) for vector in (asked, near, far, blank)] == [
        pytest.approx(1, abs=1e-5)
    ] * 4
    assert similarity(asked, near) > 0.3 > 0.1 > similarity(asked, far)


def test_the_usage_is_the_number_of_its_tokens(client: Client) -> None:
    usage: Any = embed(client, ["I lost my password", "The weather"], model="wordllama").json()["usage"]

    assert usage == {"prompt_tokens": 6, "total_tokens": 6}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dimensions": 257}, "The vectors have 256 dimensions at most."),
        ({"sent": ["a", "word " * 8192]}, "The input at 1 has 8193 tokens: at most 8192 are taken."),
    ],
    ids=["dimensions", "tokens"],
)
def test_what_it_cannot_embed_is_a_400(client: Client, fields: Any, message: str) -> None:
    response = embed(client, model="wordllama", **fields)

    assert (response.status_code, error_of(response)["message"]) == (400, message)
