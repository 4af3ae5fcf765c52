"""Pack `embeddings`: OpenAI's embeddings, by the embedders of `app/pipelines.py`."""

import pytest
from openai import BadRequestError, OpenAI

from app.pipelines import pipelines
from app.registry import Pipelines
from app.settings import Settings
from schemas.embeddings import Embeddings
from tests.conftest import live

EMBEDDERS = [name for name, model in pipelines.models.items() if model.kind == "embeddings" and model.when(Settings())]
models = Pipelines()


@models.embedder("lengths")
def lengths(texts: list[str]) -> Embeddings:
    return Embeddings([[len(text), len(text) / 2] for text in texts], prompt_tokens=[len(text) for text in texts])


def vectors(openai: OpenAI, model: str, *texts: str) -> list[list[float]]:
    whole = openai.embeddings.create(model=model, input=list(texts))  # in Base64, which the client decodes
    numbers = openai.embeddings.create(model=model, input=list(texts), encoding_format="float")
    assert [each.embedding for each in numbers.data] == [pytest.approx(each.embedding) for each in whole.data]
    assert [each.index for each in whole.data] == [*range(len(texts))]
    return [each.embedding for each in whole.data]


@pytest.mark.skipif(not EMBEDDERS, reason="needs an embedder, or for `wordllama` the extra `embeddings`")
@pytest.mark.parametrize("name", EMBEDDERS or [""])
def test_each_embedder_gives_each_text_a_vector_of_its_own(name: str) -> None:
    with live(pipelines) as openai:
        first, other, again = vectors(openai, name, "Hello!", "Goodbye.", "Hello!")
    assert first == pytest.approx(again) != pytest.approx(other)


def test_vectors_come_in_the_order_of_their_texts_and_only_from_embedders() -> None:
    with live(models) as openai:
        assert vectors(openai, "lengths", "a", "abc") == [[1.0, 0.5], [3.0, 1.5]]
        with pytest.raises(BadRequestError, match="is for embeddings, not for chat"):
            openai.chat.completions.create(model="lengths", messages=[{"role": "user", "content": "Hello!"}])
